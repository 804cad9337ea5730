"""`edgeswap batch`: put a face into many pictures, by several processes or a Ray cluster."""

from __future__ import annotations

import argparse
import dataclasses
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edgeswap_runtime.commands._progress_line import ProgressLine
from edgeswap_runtime.commands.arguments.marks import add_marks, marks_from
from edgeswap_runtime.commands.arguments.people import add_faces, require_identities
from edgeswap_runtime.commands.arguments.run import (
    add_backend_options,
    add_detail,
    add_schedule,
    add_seed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeswap_runtime.batch.run import BatchReport
    from edgeswap_runtime.batch.settings import BatchSettings
    from edgeswap_runtime.batch.targets import BatchPicture

_MOST_RAY_WORKERS = 100_000


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `edgeswap batch`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap batch",
        description="Put a face into many pictures, each written once, and list what could not be "
        "swapped. A run that was ended goes on with --resume.",
    )
    parser.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        help="folder to make: the pictures, report.jsonl and, where some failed, failures.jsonl",
    )
    _add_pictures(parser)
    add_faces(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help="swap also what the model cannot do well (default: leave such faces alone)",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="FOLDER",
        help="folder of the bundle to use (default: the packaged bundle)",
    )
    _add_workers(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object (default: text)")
    add_schedule(parser)
    add_seed(parser)
    add_detail(parser)
    add_marks(parser)
    add_backend_options(parser)
    return parser


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        type=Path,
        action="append",
        metavar="PHOTO",
        help="photo of the face to put in, or a file that edgeswap identity wrote; give it again "
        "for more photos of the same person (default: each row of --list names its own)",
    )
    targets = parser.add_mutually_exclusive_group(required=True)
    targets.add_argument(
        "--target",
        action="append",
        metavar="PATH",
        help="photo, folder (searched with all folders in it) or pattern such as 'in/*.jpg'; give "
        "it again for more",
    )
    targets.add_argument(
        "--list",
        type=Path,
        metavar="FILE",
        help="Parquet table with a column target and, where wanted, source and out; needs the "
        "extra ray or pyarrow (instead of --target)",
    )
    parser.add_argument(
        "--suffix",
        choices=(".png", ".jpg", ".webp"),
        help="format of all new pictures (default: the target's own, .png where it cannot be "
        "written)",
    )


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="workers at once, 1 to 4 for each core; with --ray on all nodes together (default: "
        "one for each core)",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run the workers on this Ray cluster, whose nodes see the same files: auto, "
        "host:port, or local to start one here; needs the extra ray (default: processes here)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where the same command was ended, and try failures again (default: refuse if "
        "OUT is there)",
    )


def command(argv: list[str]) -> int:
    """Run `edgeswap batch`."""
    options = build_parser().parse_args(argv)
    settings, pictures = _check(options)
    line = _BatchLine(10.0)
    try:
        report = _run(options, settings, pictures, line)
    finally:
        line.end()
    _print(options, report)
    return 2 if report.failed else 0


def _check(options: argparse.Namespace) -> tuple[BatchSettings, Sequence[BatchPicture]]:
    """Check everything that can be told before a worker is started."""
    from edgeswap_runtime._arguments import require_seed
    from edgeswap_runtime.backends.threads import require_threads
    from edgeswap_runtime.batch.folder import require_batch_folder
    from edgeswap_runtime.batch.settings import BatchSettings, WorkerEngine
    from edgeswap_runtime.batch.targets import list_pictures, read_parquet
    from edgeswap_runtime.bundle.default import default_bundle
    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.bundle.schedules import choose_schedule
    from edgeswap_runtime.errors import InvalidRequest, PictureMissing
    from edgeswap_runtime.faces.detect import as_choice

    faces = as_choice(options.faces)
    require_seed(options.seed)
    require_threads(options.threads)
    _require_processes(options)
    marks = marks_from(options)
    bundle = Bundle.open(options.bundle or default_bundle())
    require_batch_folder(options.out, resume=options.resume)
    sources = options.source or []
    require_identities([sources], bundle)
    for source in sources:
        if not source.exists():
            raise PictureMissing(source)
    if options.list is None:
        pictures = list_pictures(options.target, out=options.out, suffix=options.suffix)
    else:
        pictures = read_parquet(options.list, suffix=options.suffix)
    lacking = next((p for p in pictures if p.source is None), None)
    if lacking is not None and not sources:
        raise InvalidRequest(f"nothing says whose face goes into {lacking.target}: give --source")
    engine = WorkerEngine(
        bundle=str(bundle.path.absolute()),
        backend=options.backend,
        device=options.device,
        precision=options.precision,
        threads=options.threads or 1,
    )
    settings = BatchSettings(
        engine=engine,
        bundle_sha256=bundle.manifest.manifest_sha256,
        sources=tuple(str(source.absolute()) for source in sources),
        schedule=choose_schedule(bundle.manifest, options.schedule, None),
        seed=options.seed,
        faces=faces,
        force=options.force,
        keep_detail=options.keep_detail,
        marks=marks,
    )
    return settings, pictures


def _require_processes(options: argparse.Namespace) -> None:
    import os

    from edgeswap_runtime._arguments import whole_number
    from edgeswap_runtime.backends.threads import THREADS_PER_CORE

    if options.processes is not None:
        here = THREADS_PER_CORE * (os.cpu_count() or 1)
        most = here if options.ray is None else _MOST_RAY_WORKERS
        whole_number(options.processes, "processes", 1, most)


def _run(
    options: argparse.Namespace,
    settings: BatchSettings,
    pictures: Sequence[BatchPicture],
    line: _BatchLine,
) -> BatchReport:
    from edgeswap_runtime.backends.threads import usable_cores
    from edgeswap_runtime.batch.processes import open_process
    from edgeswap_runtime.batch.run import run_batch

    with ExitStack() as held:
        workers, opening = options.processes or usable_cores(), open_process(settings)
        if options.ray is not None:
            from edgeswap_runtime.batch.cluster import RayWorkers

            cluster = held.enter_context(RayWorkers(settings, options.ray))
            workers, opening = options.processes or max(1, cluster.cpus()), cluster.open
        return run_batch(
            pictures,
            settings,
            options.out,
            open_worker=opening,
            workers=workers,
            resume=options.resume,
            progress=line,
        )


def _print(options: argparse.Namespace, report: BatchReport) -> None:
    if options.json:
        facts = {"out": str(options.out), **dataclasses.asdict(report)}
        print(json.dumps(facts | {"per_second": report.per_second}, indent=1))
        return
    earlier = f", {report.earlier} of them earlier" if report.earlier else ""
    print(
        f"{options.out}: {report.swapped} of {report.pictures} pictures swapped{earlier}, "
        f"{report.per_second:.1f} a second, marked as generated"
    )
    if report.failed:
        print(f"{report.failed} could not be swapped: see {options.out / 'failures.jsonl'}")


class _BatchLine(ProgressLine):
    """Tells on stderr how far a batch is: one line that changes in a terminal, else a few lines."""

    def __call__(self, report: BatchReport) -> None:
        if not self.due():
            return
        failed = f", {report.failed} failed" if report.failed else ""
        words = (
            f"{report.swapped + report.failed} of {report.pictures} pictures{failed}, "
            f"{report.per_second:.1f} a second"
        )
        self.show(words)
