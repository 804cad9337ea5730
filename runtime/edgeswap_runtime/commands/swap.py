"""`edgeswap swap`: put the face of one photo into another photo."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.commands._people import (
    add_people,
    choose_people,
    face_report,
    require_identities,
    sources_of,
)
from edgeswap_runtime.commands.options import add_backend_options, add_schedule, add_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.folder import Bundle


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
    _add_photos(parser)
    add_people(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing file (default: refuse)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object (default: text)")
    length = parser.add_mutually_exclusive_group()
    add_schedule(length)
    length.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="take the schedule with this many steps instead (default: see --schedule)",
    )
    add_seed(parser)
    add_backend_options(parser)
    return parser


def _add_photos(parser: argparse.ArgumentParser) -> None:
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
    sources_of(options)
    require_seed(options.seed)
    require_threads(options.threads)
    bundle = Bundle.open(options.bundle or default_bundle())
    require_identities([photos for photos, _ in sources_of(options)], bundle)
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
        sources = sources_of(options)
        identities = [swapper.identity(photos) for photos, _ in sources]
        start_ns = time.perf_counter_ns()
        with clock.stage("detect"):
            judged, taken = choose_people(swapper, options, target, [place for _, place in sources])
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
        "faces": [face_report(one, swapped=id(one.face) in done) for one in judged],
        "schedule": schedule,
        "seed": options.seed,
        "backend": options.backend,
        "device": options.device,
        "bundle_sha256": bundle.manifest.manifest_sha256,
        "stages_ms": {name: spent / 1e6 for name, spent in clock.lap().items()},
        "swap_ms": total_ns / 1e6,
    }


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
