"""``edgeswap demo``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgeswap_export.demo._journey import clock_time
from edgeswap_export.demo._report import COLUMNS, table


def command(argv: list[str]) -> int:
    """Entry point; returns the exit code."""
    args = _parser().parse_args(argv)
    from edgeswap_export.demo._stage import DemoConfig, run_demo

    config = DemoConfig(source=args.source, target=args.target)
    facts = run_demo(args.out, config, lambda line: print(line, file=sys.stderr, flush=True))
    if args.json:
        print(json.dumps(facts))
        return 0
    rows = [{"name": "model", **COLUMNS}, *table(facts)]
    widths = {key: max(len(row[key]) for row in rows) for key in rows[0]}
    for row in rows:
        print("  ".join(row[key].ljust(widths[key]) for key in row).rstrip())
    page = (args.out / "report.html").resolve()
    print(
        f"\n{facts['speedup']:.0f}x faster per swap, float32 against float32;"
        f" {facts['made_speedup']:.0f}x by the student made just now."
        f"\nTook {clock_time(facts['seconds'])}. Open {page.as_uri()} in a browser."
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap demo",
        description="Prune, distill, export, swap, compare and time, on the default teacher; says"
        " at the start how long it will take here, and writes report.html and demo.json.",
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), help="new folder to write")
    parser.add_argument("--target", type=Path, default=None, help="a photo to put a face into")
    parser.add_argument("--source", type=Path, default=None, help="a photo to take the face from")
    parser.add_argument("--json", action="store_true", help="print demo.json on stdout")
    return parser
