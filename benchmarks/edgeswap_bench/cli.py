"""`edgeswap bench`: how long does a swap take here, and where does the time go?"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from edgeswap_bench._table import table
from edgeswap_bench.measure import BenchConfig, Report, measure
from edgeswap_bench.pictures import chosen_paths, parse_size
from edgeswap_runtime import Swapper, read_picture
from edgeswap_runtime.backends import BACKENDS


def command(argv: list[str]) -> int:
    """Time a bundle: p50, p90 and p99 of every stage and end to end, warm-up excluded.

    A size that fails is a row that says so; the exit code is 1 when no size could be timed.
    """
    options = _parser().parse_args(argv)
    config = BenchConfig(
        runs=options.runs,
        warmup=options.warmup,
        sizes=tuple(parse_size(text) for text in options.size),
    )
    source_path, target_path = chosen_paths(options.source, options.target)
    source, target = read_picture(source_path), read_picture(target_path)
    start_ns = time.perf_counter_ns()
    with Swapper.open(
        options.bundle,
        backend=options.backend,
        device=options.device,
        schedule=options.schedule,
        seed=options.seed,
        threads=options.threads,
    ) as swapper:
        open_ns = time.perf_counter_ns() - start_ns
        report = measure(swapper, source, target, config, _show if sys.stderr.isatty() else None)
    report = _with_settings(report, options, open_ns)
    print(json.dumps(report.to_json()) if options.json else table(report))
    return 1 if all(size.error for size in report.sizes) else 0


def _with_settings(report: Report, options: argparse.Namespace, open_ns: int) -> Report:
    """Add what only the command line knows."""
    asked = {name: getattr(options, name) for name in ("backend", "device", "threads")}
    settings = {**report.settings, **asked, "open_ms": open_ns / 1e6}
    return dataclasses.replace(report, settings=settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgeswap bench", description=command.__doc__)
    parser.add_argument("bundle", type=Path, help="a bundle folder, from edgeswap export")
    parser.add_argument("--runs", type=int, default=50, help="timed runs (default 50)")
    parser.add_argument("--warmup", type=int, default=5, help="untimed runs before (default 5)")
    parser.add_argument(
        "--size",
        nargs="+",
        default=[],
        metavar="HEIGHTxWIDTH",
        help="picture sizes, such as 720x1280 (default: the target's own)",
    )
    parser.add_argument("--source", type=Path, metavar="PHOTO", help="default: a packaged portrait")
    parser.add_argument("--target", type=Path, metavar="PHOTO", help="default: a packaged portrait")
    parser.add_argument("--schedule", metavar="NAME", help="one that edgeswap inspect lists")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default 0)")
    parser.add_argument("--backend", default="ort", help=f"{', '.join(BACKENDS)} (default ort)")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or tensorrt")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--json", action="store_true", help="print one JSON object, unrounded")
    return parser


def _show(done: int, total: int) -> None:
    """Draw progress on a terminal's stderr."""
    end = "\n" if done == total else ""
    print(f"\rround {done} of {total}", end=end, file=sys.stderr, flush=True)
