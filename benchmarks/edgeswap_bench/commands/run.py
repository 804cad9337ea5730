"""Run `edgeswap bench` once its options are parsed."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

from edgeswap_bench._extras import with_estimates, with_explanations
from edgeswap_bench.acceptance.command import check_request, run_acceptance
from edgeswap_bench.compare.against import open_against, tasks_for
from edgeswap_bench.explain.explain import require_profiler
from edgeswap_bench.measure.bundle_subject import BundleSubject
from edgeswap_bench.measure.config import BenchConfig, SwapOptions
from edgeswap_bench.measure.pictures import chosen_paths, parse_size
from edgeswap_bench.measure.run import bench
from edgeswap_bench.predict.predict import parse_devices
from edgeswap_bench.report.files import require_new_file
from edgeswap_bench.report.page import page
from edgeswap_bench.report.table import table
from edgeswap_bench.trust.verdict import SETTLED, UNMET
from edgeswap_runtime import read_picture
from edgeswap_runtime.files import write_bytes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edgeswap_bench.measure.subject import TimedSubject


def run_bench(options: argparse.Namespace) -> int:
    """Time a bundle; give the exit code, see `cli.command`."""
    config = bench_config(options)
    if options.html is not None:
        require_new_file(options.html, overwrite=options.overwrite)
    if options.acceptance is not None:
        check_request(options.acceptance, overwrite=options.overwrite)
    devices = parse_devices(options.predict) if options.predict else ()
    if options.explain:
        require_profiler(options.backend, options.device)
    source_path, target_path = chosen_paths(options.source, options.target)
    source, target = read_picture(source_path), read_picture(target_path)
    if options.acceptance is not None:
        found, text = run_acceptance(options.bundle, source, target, config, options.acceptance)
        print(json.dumps(found.to_json()) if options.json else text)
        return 0 if found.accepted else UNMET
    with contextlib.ExitStack() as stack:
        first = BundleSubject(options.bundle, source, target, _swap_options(options))
        stack.callback(first.close)
        others = open_against(options.against, first, source, target, stack)
        report = bench(
            [first, *others.subjects],
            config,
            failed=others.failed,
            progress=_show if sys.stderr.isatty() else None,
        )
        if options.explain:
            report = with_explanations(report, first)
        if devices:
            report = with_estimates(report, first, devices)
        pictures = _pictures([first, *others.subjects])
    report = others.with_reports(report)
    if options.html is not None:
        write_bytes(options.html, page(report, pictures).encode("utf-8"))
    print(json.dumps(report.to_json()) if options.json else table(report))
    return _exit_code(report.subjects[0].tasks, report.verdict.state, options)


def bench_config(options: argparse.Namespace) -> BenchConfig:
    """Make the config of the options; looks at no folder and loads no graph or torch.

    Raises:
        InvalidRequest: options do not fit together.
    """
    runs = options.runs
    if runs is None:
        runs = 6 if options.seconds else 50
    return BenchConfig(
        runs=runs,
        seconds=options.seconds,
        warmup=options.warmup,
        sizes=tuple(parse_size(text) for text in options.size),
        tasks=tuple(options.task or tasks_for(options.against)),
        batches=tuple(options.batch),
        starts=options.starts,
    )


def _swap_options(options: argparse.Namespace) -> SwapOptions:
    return SwapOptions(
        backend=options.backend,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        schedule=options.schedule,
        seed=options.seed,
    )


def _pictures(
    subjects: Sequence[TimedSubject],
) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Label -> target and swapped, of the first picture that each bundle swapped."""
    found: dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
    for subject in subjects:
        if isinstance(subject, BundleSubject):
            for task, swapped in subject.swapped.items():
                found.setdefault(subject.label, (subject.shown(task), swapped))
    return found


def _exit_code(tasks: tuple[object, ...], state: str, options: argparse.Namespace) -> int:
    if all(getattr(task, "error", None) for task in tasks):
        return 1
    return UNMET if options.require_settled and state != SETTLED else 0


def _show(done: int, total: int) -> None:
    """Draw progress on a terminal's stderr."""
    end = "\n" if done == total else ""
    print(f"\rround {done} of {total}", end=end, file=sys.stderr, flush=True)
