"""Run `edgeswap demo [OUT]`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgeswap_compress.fit.cli import add_device, add_dtype
from edgeswap_export.demo._progress import clock_time
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.strict_json import read_json_object


def command(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: the arguments after `edgeswap demo`.

    Returns:
        the exit code, 0.

    Raises:
        EdgeswapError: as `demo`, for the caller to print.
        EdgeswapFailure: likewise.
    """
    args = build_parser().parse_args(argv)
    if args.out.exists():
        raise OutputExists(args.out)
    from edgeswap_export.demo._report import COLUMNS, table
    from edgeswap_export.demo._stage import DemoConfig, demo

    config = DemoConfig(
        source=args.source, target=args.target, device=args.device, dtype=args.dtype
    )
    out = demo(config, args.out, progress=lambda line: print(line, file=sys.stderr, flush=True))
    facts = read_json_object(out / "demo.json")
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
        f"\nwrote {args.out} after {clock_time(facts['seconds'])} minutes"
        f"\nnext: open {page.as_uri()} in a browser"
    )
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `edgeswap demo`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap demo",
        description="Prune, distill, export, swap, compare and time on the packaged models, and"
        " write report.html and demo.json. It says at the start how long it takes on this machine.",
    )
    parser.add_argument(
        "out",
        type=Path,
        nargs="?",
        default=Path("demo"),
        metavar="OUT",
        help="folder to make (default: demo)",
    )
    parser.add_argument(
        "--source",
        type=Path,
        metavar="PHOTO",
        help="photo to take a face from, shown besides the packaged ones (default: none)",
    )
    parser.add_argument(
        "--target",
        type=Path,
        metavar="PHOTO",
        help="photo to put a face into, shown besides the packaged ones (default: none)",
    )
    add_device(parser.add_argument)
    add_dtype(parser.add_argument)
    parser.add_argument(
        "--json", action="store_true", help="print demo.json, one JSON object, instead of a table"
    )
    return parser
