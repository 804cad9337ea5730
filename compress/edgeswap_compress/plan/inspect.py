"""``edgeswap inspect PLAN.json``: what a pruning plan leaves, as a table and as a picture."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def command(argv: list[str]) -> int:
    """Entry point for plans; returns the exit code."""
    parser = argparse.ArgumentParser(prog="edgeswap inspect", description=__doc__)
    parser.add_argument("path", type=Path, help="a pruning.json")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the kept widths, .png")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    from edgeswap_compress.plan.plan_file import read_plan
    from edgeswap_compress.plan.summary.picture import require_picture_path, write_picture
    from edgeswap_compress.plan.summary.view import beside, lines, view_plan

    if args.picture is not None:
        require_picture_path(args.picture)
    view = view_plan(read_plan(args.path), beside(args.path))
    if args.picture is not None:
        write_picture(args.picture, view)
    print(json.dumps(view.to_json()) if args.json else "\n".join(lines(view)))
    return 0
