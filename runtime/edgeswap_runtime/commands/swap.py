"""`edgeswap swap`: put the face of one photo into another photo."""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.commands._several import pair_several, swap_line, swap_several
from edgeswap_runtime.commands.arguments.marks import add_marks, marks_from
from edgeswap_runtime.commands.arguments.people import (
    add_people,
    choose_people,
    face_report,
    require_identities,
    sources_of,
)
from edgeswap_runtime.commands.arguments.run import add_bundle, add_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime._crop_swapper import Identity
    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.commands._several import Pair
    from edgeswap_runtime.swapper import Swapper


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `edgeswap swap`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap swap",
        description="Put the face of the source into the target, and mark the new picture as "
        "generated.",
    )
    add_bundle(parser)
    _add_photos(parser)
    add_people(parser)
    add_run(parser)
    add_marks(parser)
    return parser


def _add_photos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        action="append",
        required=True,
        metavar="PATH",
        help="photo to put the face into; a folder, a pattern such as 'in/*.jpg', or the option "
        "again for several",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="PATH",
        help="the new picture: .png (lossless), .jpg or .webp; of several photos a folder",
    )


def command(argv: list[str]) -> int:
    """Run `edgeswap swap`."""
    options = build_parser().parse_args(argv)
    bundle, schedule, pairs, target = _check(options)
    from edgeswap_runtime.swapper import Swapper

    with Swapper.open(
        bundle,
        backend=options.backend,
        device=options.device,
        schedule=schedule,
        seed=options.seed,
        threads=options.threads,
        precision=options.precision,
    ) as swapper:
        marks_from(options).apply(swapper)
        swapper.keep_detail = options.keep_detail
        sources = sources_of(options)
        identities = [swapper.identity(photos) for photos, _ in sources]
        if target is None:
            return swap_several(options, pairs, partial(_swap, options, swapper, identities))
        report = _swap(options, swapper, identities, pairs[0], target)
    _print(report, as_json=options.json)
    return 0


def _check(
    options: argparse.Namespace,
) -> tuple[Bundle, str, tuple[Pair, ...], NDArray[Any] | None]:
    """Check everything that can be told before a graph is loaded; open bundle and target.

    Returns:
        the bundle, the schedule, each target with its output, and the target itself if it is alone.
    """
    from edgeswap_runtime._arguments import as_rgb, require_seed
    from edgeswap_runtime.backends.threads import require_threads
    from edgeswap_runtime.batch.targets import is_many
    from edgeswap_runtime.bundle.default import default_bundle
    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.bundle.schedules import choose_schedule
    from edgeswap_runtime.faces.detect import check_choice
    from edgeswap_runtime.faces.recognize import require_recognizer
    from edgeswap_runtime.pictures.write import require_writable

    several = is_many(options.target)
    if not several:
        require_writable(options.out, overwrite=options.overwrite)
    check_choice(options.faces)
    marks_from(options)
    sources_of(options)
    require_seed(options.seed)
    require_threads(options.threads)
    bundle = Bundle.open(options.bundle or default_bundle())
    require_identities([photos for photos, _ in sources_of(options)], bundle)
    if options.like is not None:
        require_recognizer(bundle)
    schedule = choose_schedule(bundle.manifest, options.schedule, options.steps)
    if several:
        return bundle, schedule, pair_several(options), None
    path = Path(options.target[0])
    return bundle, schedule, ((path, options.out),), as_rgb(path)


def _swap(
    options: argparse.Namespace,
    swapper: Swapper,
    identities: list[Identity],
    pair: Pair,
    target: NDArray[Any],
) -> dict[str, Any]:
    """Swap and save one picture; return the report."""
    from edgeswap_runtime._clock import StageClock
    from edgeswap_runtime.pictures.marks import marks_of

    clock = StageClock()
    path, out = pair
    places = [place for _, place in sources_of(options)]
    start_ns = time.perf_counter_ns()
    with clock.stage("detect"):
        judged, taken = choose_people(swapper, options, target, places, str(path))
    swapped = target
    for identity, faces in zip(identities, taken, strict=True):
        swapped = swapper.swap(swapped, identity, faces=faces, clock=clock)
    total_ns = time.perf_counter_ns() - start_ns
    swapper.save(swapped, out, overwrite=options.overwrite)
    done = {id(face) for faces in taken for face in faces}
    return {
        "out": str(out),
        "width_px": swapped.shape[1],
        "height_px": swapped.shape[0],
        "faces_found": len(judged),
        "faces_swapped": [
            {"box_px": face.box, "score": face.score} for faces in taken for face in faces
        ],
        "faces": [face_report(one, swapped=id(one.face) in done) for one in judged],
        "schedule": swapper.schedule_name,
        "seed": options.seed,
        "backend": options.backend,
        "device": options.device,
        "bundle_sha256": swapper.bundle.manifest.manifest_sha256,
        "stages_ms": {name: spent / 1e6 for name, spent in clock.lap().items()},
        "swap_ms": total_ns / 1e6,
        "marks": marks_of(swapper),
    }


def _print(report: dict[str, Any], *, as_json: bool) -> None:
    print(json.dumps(report, indent=1) if as_json else swap_line(report))
