"""`edgeswap swap`: put the face of one photo into another photo."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.backends import BACKENDS
from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.faces.detect import Face
    from edgeswap_runtime.faces.judge import JudgedFace
    from edgeswap_runtime.swapper import Swapper


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `edgeswap swap`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap swap",
        description="Put the face of the source into the target, and mark the new picture as "
        "generated.",
    )
    parser.add_argument(
        "bundle",
        type=Path,
        nargs="?",
        metavar="BUNDLE",
        help="folder of a bundle, made by edgeswap export (default: the packaged bundle)",
    )
    parser.add_argument(
        "--target", type=Path, required=True, metavar="PHOTO", help="photo to put the face into"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="the new picture: .png (lossless), .jpg or .webp",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing file (default: refuse)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object (default: text)")
    _add_people(parser)
    _add_sampling(parser)
    _add_backend(parser)
    return parser


def _add_people(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--source",
        type=Path,
        action="append",
        metavar="PHOTO",
        help="photo of the face to put in; give it again for more photos of the same person, "
        "which are averaged",
    )
    source.add_argument(
        "--map",
        type=_mapping,
        action="append",
        metavar="PHOTO=K",
        help="put the face of this photo into the K-th face from the left, from 1; give it again "
        "for other faces (instead of --source and --faces)",
    )
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--faces",
        type=_face_choice,
        default="largest",
        metavar="largest|all|N|#K",
        help="faces of the target to swap: the largest, all, the N largest, or the K-th from the "
        "left (default: largest)",
    )
    who.add_argument(
        "--like",
        type=Path,
        metavar="PHOTO",
        help="swap the face that is surely the person in this photo, or none (default: see "
        "--faces)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="swap also what the model cannot do well: profiles, and faces that are cut off, "
        "blurred, unclear or tiny (default: leave them alone and say so)",
    )


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--schedule",
        metavar="NAME",
        help="schedule of the bundle, as edgeswap inspect lists them (default: the bundle's own "
        "default)",
    )
    length.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="take the schedule with this many steps instead (default: see --schedule)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the noise, 0 to 2**64 - 1; the same seed gives the same picture (default: 0)",
    )


def _add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        default="ort",
        metavar="NAME",
        help=f"library that runs the graphs: {', '.join(BACKENDS)} (default: ort)",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="what the backend runs on: cpu, cuda or tensorrt for ort; cpu, gpu or npu for "
        "openvino; cuda or cuda:N for tensorrt and tensorrt_rtx (default: cpu)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="processor threads, 1 to 4 for each core (default: one for each core)",
    )
    parser.add_argument(
        "--precision",
        metavar="NAME",
        help="precision to compute in, openvino only: fp32, bf16 or fp16 (default: fp32)",
    )


def command(argv: list[str]) -> int:
    """Run `edgeswap swap`."""
    options = build_parser().parse_args(argv)
    bundle, schedule, target = _check(options)
    _print(_swap(options, bundle, schedule, target), as_json=options.json)
    return 0


def _check(options: argparse.Namespace) -> tuple[Bundle, str, NDArray[Any]]:
    """Check everything that can be told before a graph is loaded; open bundle and target."""
    from edgeswap_runtime._arguments import as_rgb, require_seed
    from edgeswap_runtime.backends.threads import require_threads
    from edgeswap_runtime.bundle.default import default_bundle
    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.bundle.schedules import choose_schedule
    from edgeswap_runtime.faces.detect import check_choice
    from edgeswap_runtime.faces.recognize import require_recognizer
    from edgeswap_runtime.pictures.write import require_writable

    require_writable(options.out, overwrite=options.overwrite)
    check_choice(options.faces)
    _sources(options)
    require_seed(options.seed)
    require_threads(options.threads)
    bundle = Bundle.open(options.bundle or default_bundle())
    if options.like is not None:
        require_recognizer(bundle)
    schedule = choose_schedule(bundle.manifest, options.schedule, options.steps)
    return bundle, schedule, as_rgb(options.target)


def _swap(
    options: argparse.Namespace, bundle: Bundle, schedule: str, target: NDArray[Any]
) -> dict[str, Any]:
    """Swap and save; return the report."""
    from edgeswap_runtime._clock import StageClock
    from edgeswap_runtime.swapper import Swapper

    clock = StageClock()
    with Swapper.open(
        bundle,
        backend=options.backend,
        device=options.device,
        schedule=schedule,
        seed=options.seed,
        threads=options.threads,
        precision=options.precision,
    ) as swapper:
        sources = _sources(options)
        identities = [swapper.identity(photos) for photos, _ in sources]
        start_ns = time.perf_counter_ns()
        with clock.stage("detect"):
            judged, taken = _people(swapper, options, target, [place for _, place in sources])
        swapped = target
        for identity, faces in zip(identities, taken, strict=True):
            swapped = swapper.swap(swapped, identity, faces=faces, clock=clock)
        total_ns = time.perf_counter_ns() - start_ns
        swapper.save(swapped, options.out, overwrite=options.overwrite)
    done = {id(face) for faces in taken for face in faces}
    return {
        "out": str(options.out),
        "width_px": swapped.shape[1],
        "height_px": swapped.shape[0],
        "faces_found": len(judged),
        "faces_swapped": [
            {"box_px": face.box, "score": face.score} for faces in taken for face in faces
        ],
        "faces": [_face_report(one, swapped=id(one.face) in done) for one in judged],
        "schedule": schedule,
        "seed": options.seed,
        "backend": options.backend,
        "device": options.device,
        "bundle_sha256": bundle.manifest.manifest_sha256,
        "stages_ms": {name: spent / 1e6 for name, spent in clock.lap().items()},
        "swap_ms": total_ns / 1e6,
    }


def _sources(options: argparse.Namespace) -> list[tuple[list[Path], int]]:
    """The photos of each source, and the place it is for; 0 where the choice is --faces or --like.

    Raises:
        InvalidRequest: --map beside a choice of faces, or two sources for one place.
    """
    if options.map is None:
        return [(options.source, 0)]
    places = [place for _, place in options.map]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise InvalidRequest(f"--map names face {twice[0]} twice, expected one source for each")
    if options.like is not None or options.faces != "largest":
        raise InvalidRequest("--map chooses the faces: leave out --faces and --like")
    return [([photo], place) for photo, place in options.map]


def _people(
    swapper: Swapper, options: argparse.Namespace, target: NDArray[Any], places: list[int]
) -> tuple[tuple[JudgedFace, ...], list[tuple[Face, ...]]]:
    """All faces of the target, and for each source those to swap.

    Raises:
        NothingSwapped: there is none to swap.
        NoFaceFound: there are fewer than asked for.
    """
    from edgeswap_runtime.errors import NoFaceFound
    from edgeswap_runtime.faces.judge import swappable
    from edgeswap_runtime.faces.recognize import find_like

    name = str(options.target)
    if places == [0]:
        choice = options.faces
        if options.like is not None:
            choice = f"#{find_like(swapper, target, options.like)}"
        judged = swapper.judge(target, choice, name=name)
        return judged, [swappable(judged, name, force=options.force)]
    judged = swapper.judge(target, "all", name=name)
    if len(judged) < max(places):
        raise NoFaceFound(name, found=len(judged), wanted=max(places))
    judged = tuple(
        one if one.number in places else replace(one, chosen=False, problem=None) for one in judged
    )
    usable = {id(face) for face in swappable(judged, name, force=options.force)}
    by_place = {one.number: one.face for one in judged}
    faces = [by_place[place] for place in places]
    return judged, [(face,) if id(face) in usable else () for face in faces]


def _face_report(one: JudgedFace, *, swapped: bool) -> dict[str, Any]:
    """What was done with one face, and why."""
    left = one.problem if one.chosen else "not chosen"
    return {
        "number": one.number,
        "box_px": one.face.box,
        "score": one.face.score,
        "yaw_deg": one.yaw_deg,
        "done": "swapped" if swapped else "left alone",
        "why": one.problem if swapped else left,
    }


def _mapping(text: str) -> tuple[Path, int]:
    """A photo and a place, from PHOTO=K."""
    photo, _, place = text.rpartition("=")
    if not photo or not place.isascii() or not place.isdigit() or not 1 <= int(place) <= 999_999:
        raise argparse.ArgumentTypeError(f"found {text}, expected PHOTO=K with K from 1")
    return Path(photo), int(place)


def _face_choice(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def _print(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report, indent=1))
        return
    swapped, found = len(report["faces_swapped"]), report["faces_found"]
    left = [
        f"#{face['number']} {face['why']}"
        for face in report["faces"]
        if face["done"] == "left alone" and face["why"] != "not chosen"
    ]
    aside = f"; left alone: {', '.join(left)}" if left else ""
    print(
        f"{report['out']}: {swapped} of {found} face{'s' if found > 1 else ''} swapped in "
        f"{report['swap_ms']:.0f} ms ({report['schedule']}), marked as generated{aside}"
    )
