"""Read a recipe: a TOML file with one table for each stage, its keys that command's options."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeswap_export.recipe._checks import check_options
from edgeswap_export.recipe._errors import BadRecipe
from edgeswap_export.recipe._request import StageRequest
from edgeswap_export.recipe._stages import STAGES, parser_of
from edgeswap_runtime.errors import EdgeswapError
from edgeswap_runtime.files import read_regular

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe that was read and checked.

    Attributes:
        path: the recipe's file.
        checkpoint: folder of the checkpoint that the first stage reads.
        stages: what to run, in the order of STAGES.
    """

    path: Path
    checkpoint: Path
    stages: tuple[StageRequest, ...]

    @property
    def folder(self) -> Path:
        """The folder that paths in the recipe are relative to."""
        return self.path.resolve().parent


def read_recipe(path: Path | str) -> Recipe:
    """Read a recipe and check every option of every stage before any work begins.

    Raises:
        BadRecipe: there is no such file, it is not TOML, or a command does not take its options.
    """
    file = Path(path)
    try:
        data = read_regular(file, _MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise BadRecipe(file, f"is longer than {_MOST_BYTES} bytes: name a recipe, a TOML file")
        raw = tomllib.loads(data.decode("utf-8"))
    except FileNotFoundError as error:
        raise BadRecipe(file, "there is no such file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRecipe(file, f"is not TOML: {error}") from error
    checkpoint = raw.pop("checkpoint", None)
    if not isinstance(checkpoint, str):
        raise BadRecipe(
            file, 'expected checkpoint = "FOLDER" at its top, the checkpoint to begin with'
        )
    if unknown := sorted(set(raw) - set(STAGES)):
        near = difflib.get_close_matches(unknown[0], STAGES, n=1)
        hint = f"did you mean [{near[0]}]?" if near else f"expected {_listed(STAGES)}"
        raise BadRecipe(file, f"there is no stage [{unknown[0]}]: {hint}")
    start = file.resolve().parent / checkpoint
    if not start.is_dir():
        raise BadRecipe(file, f"checkpoint {checkpoint}: there is no folder {start}")
    if not (start / "swap.json").is_file():
        raise BadRecipe(
            file,
            f"checkpoint {checkpoint}: expected a swap checkpoint, which has a swap.json, found"
            " none; a bare U-Net is pruned and exported by edgeswap prune and edgeswap export",
        )
    raw.setdefault("export", {})
    stages: list[StageRequest] = []
    for name in STAGES:
        for table in _tables(file, name, raw.get(name, [])):
            stages.append(_request(file, start, name, table))  # noqa: PERF401 three lines are clearer
    return Recipe(path=file, checkpoint=start, stages=tuple(stages))


def _tables(file: Path, name: str, value: Any) -> list[dict[str, Any]]:
    """List the tables of a stage: one, or several where the stage may run several times."""
    tables = value if isinstance(value, list) else [value]
    if not all(isinstance(table, dict) for table in tables):
        raise BadRecipe(file, f"{name} is {value!r}, expected a table [{name}]")
    if len(tables) > 1 and not STAGES[name].repeats:
        raise BadRecipe(file, f"[[{name}]] stands {len(tables)} times, expected [{name}] once")
    return tables


def _request(file: Path, start: Path, name: str, table: Mapping[str, Any]) -> StageRequest:
    parser = parser_of(name)
    known = {key: action for action in parser._actions for key in action.option_strings}
    taken = STAGES[name].taken
    arguments: list[str] = []
    inputs: list[str] = []
    for key, value in table.items():
        option = "--" + key.replace("_", "-")
        if option.removeprefix("--") in taken:
            raise BadRecipe(file, f"[{name}] {key} is set by the build: leave it out")
        if option not in known or option in ("--help", "--json"):
            options = [text.removeprefix("--") for text in known if text.startswith("--")]
            near = difflib.get_close_matches(option.removeprefix("--"), options, n=1)
            words = " ".join(STAGES[name].words)
            hint = f"did you mean {near[0]}?" if near else f"edgeswap {words} --help lists them"
            raise BadRecipe(file, f"[{name}] has no option {key}: {hint}")
        arguments += _words(file, name, option, known[option], value)
        if known[option].type is Path and option[2:] not in STAGES[name].writes:
            inputs += [str(item) for item in (value if isinstance(value, list) else [value])]
    _try(file, start, name, arguments)
    for given in inputs:
        if not (file.resolve().parent / given).exists():
            raise BadRecipe(file, f"[{name}] names {given}, which does not exist beside the recipe")
    return StageRequest(stage=name, arguments=tuple(arguments), inputs=tuple(sorted(inputs)))


def _words(file: Path, name: str, option: str, action: argparse.Action, value: Any) -> list[str]:
    """Write an option as one would type it."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise BadRecipe(file, f"[{name}] {option[2:]} is {value!r}, expected true or false")
        if isinstance(action, argparse.BooleanOptionalAction):
            return [option if value else f"--no-{option[2:]}"]
        return [option] if value else []
    values = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool | dict | list) for item in values):
        raise BadRecipe(file, f"[{name}] {option[2:]} is {value!r}, expected a number or a text")
    if any("\0" in str(item) for item in values):
        raise BadRecipe(file, f"[{name}] {option[2:]} holds a NUL character: leave it out")
    if action.nargs in ("+", "*"):
        return [option, *map(str, values)]
    if isinstance(value, list) and not isinstance(action, argparse._AppendAction):
        raise BadRecipe(file, f"[{name}] {option[2:]} is a list, expected one value")
    return [f"{option}={item}" for item in values]


def _try(file: Path, start: Path, name: str, arguments: list[str]) -> None:
    """Check the options with the command's own parser and config."""
    said, parser = io.StringIO(), parser_of(name)
    places = STAGES[name].positions(str(start), str(start), "out")
    try:
        with contextlib.redirect_stderr(said):
            parsed = parser.parse_args([*places, *arguments])
            check_options(name, parser, parsed)
    except EdgeswapError as error:
        raise BadRecipe(file, f"[{name}] {error}") from error
    except SystemExit as error:
        last = said.getvalue().strip().splitlines()[-1]
        raise BadRecipe(file, f"[{name}] {last.partition('error: ')[2] or last}") from error


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(f"[{name}]" for name in names)
