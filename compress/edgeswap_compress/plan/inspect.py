"""``edgeswap inspect PLAN``: show what a pruning plan leaves, as a table and as a picture."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap inspect`` for pruning plans."""
    parser = argparse.ArgumentParser(
        prog="edgeswap inspect", description="Show what a pruning plan leaves of each block."
    )
    parser.add_argument("path", type=Path, metavar="PLAN", help="pruning plan (a pruning.json)")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE",
        help="draw the kept widths into this new .png file (default: none)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object (default: text)")
    return parser


def command(argv: list[str]) -> int:
    """Run ``edgeswap inspect`` on a pruning plan.

    Args:
        argv: arguments after the command's name.

    Returns:
        The exit code.
    """
    args = build_parser().parse_args(argv)
    from edgeswap_compress.plan.plan_file import read_plan
    from edgeswap_compress.plan.summary.picture import write_picture
    from edgeswap_compress.plan.summary.view import beside, lines, view_plan
    from edgeswap_runtime.pictures.write import require_new_png

    if args.picture is not None:
        require_new_png(args.picture)
    view = view_plan(read_plan(args.path), beside(args.path))
    if args.picture is not None:
        write_picture(args.picture, view)
    print(json.dumps(view.to_json()) if args.json else "\n".join(lines(view)))
    return 0
