"""Run `edgeswap build RECIPE.toml OUT`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgeswap_export.recipe._stages import RECORD
from edgeswap_runtime.strict_json import read_json


def command(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: the arguments after `edgeswap build`.

    Returns:
        the exit code, 0.

    Raises:
        EdgeswapError: as `build`, for the caller to print.
        EdgeswapFailure: likewise.
    """
    options = build_parser().parse_args(argv)
    from edgeswap_export.recipe import BuiltStage, build

    done: list[BuiltStage] = []
    bundle = build(options.recipe, options.out, progress=_tell, finished=done.append)
    if options.json:
        print(json.dumps(read_json(options.out / RECORD)))
        return 0
    for entry in done:
        took = "as before" if entry.seconds is None else f"{entry.seconds:.1f} s"
        print(f"{entry.request.stage:<12}{took:>12}  {entry.home.folder}")
    print(f"wrote {bundle}")
    print(f"next: edgeswap inspect {bundle}")
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `edgeswap build`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap build",
        description="Run prune, distill, export, engine, evaluate and bench as a recipe says. A"
        " stage whose inputs and options have not changed is not run again; an interrupted build"
        " continues.",
        epilog="A recipe is a TOML file: checkpoint = FOLDER, then one table for each stage, with"
        " the options of its command as keys. A stage without a table is not run, but [export]"
        " always is.",
    )
    parser.add_argument(
        "recipe", type=Path, metavar="RECIPE.toml", help="the recipe, a TOML file (see below)"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make, or to continue in")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of a table"
    )
    return parser
