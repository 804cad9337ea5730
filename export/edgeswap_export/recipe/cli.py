"""``edgeswap build RECIPE.toml OUT``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def command(argv: list[str]) -> int:
    """Run the sub-command; errors are the caller's to print.

    Args:
        argv: What follows ``edgeswap build``.

    Returns:
        0.
    """
    options = _parser().parse_args(argv)
    from edgeswap_export.recipe._build import BUNDLE, RECORD, build

    done = build(options.recipe, options.out, progress=_tell)
    if options.json:
        print(json.dumps(json.loads((options.out / RECORD).read_text(encoding="utf-8"))))
        return 0
    for entry in done:
        took = "as before" if entry.seconds is None else f"{entry.seconds:.1f} s"
        print(f"{entry.request.stage:<10}{took:>12}  {entry.home.folder}")
    print(f"wrote {options.out / BUNDLE}")
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap build",
        description="Run prune, distill, export, engine, evaluate and bench as a recipe says. What"
        " has not changed since the last run is not done again; a run that was cut short goes on.",
        epilog="A recipe is TOML: checkpoint = FOLDER, then one table a stage, its keys that"
        " command's options. Stages without a table are left out, all but [export].",
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make, or to go on with")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
