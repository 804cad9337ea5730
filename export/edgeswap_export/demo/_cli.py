"""``edgeswap demo``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgeswap_export.demo._report import COLUMNS, table


def command(argv: list[str]) -> int:
    """Entry point; returns the exit code."""
    args = _parser().parse_args(argv)
    from edgeswap_export.demo._demo import DemoConfig, run_demo

    config = DemoConfig(source=args.source, target=args.target)
    facts = run_demo(args.out, config, lambda line: print(line, file=sys.stderr, flush=True))
    if args.json:
        print(json.dumps(facts))
        return 0
    rows = [{"name": "model", **COLUMNS}, *table(facts)]
    widths = {key: max(len(row[key]) for row in rows) for key in rows[0]}
    for row in rows:
        print("  ".join(row[key].ljust(widths[key]) for key in row).rstrip())
    print(
        f"\n{facts['speedup']:.0f}x faster per swap, float32 against float32 "
        f"({facts['speedup_over_bfloat16']:.0f}x against the teacher in bfloat16); "
        f"open {args.out / 'report.html'}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap demo",
        description="Prune, distil, export, swap, time and report, on the default teacher. Takes "
        "some minutes; writes report.html and demo.json.",
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), help="new folder to write")
    parser.add_argument("--target", type=Path, default=None, help="a photo to put a face into")
    parser.add_argument("--source", type=Path, default=None, help="a photo to take the face from")
    parser.add_argument("--json", action="store_true", help="print demo.json on stdout")
    return parser
