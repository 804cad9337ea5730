"""Bad values for every option of every command, read off the commands' own parsers."""

from __future__ import annotations

import argparse
import functools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fuzzing.case import Case, out_folder
from fuzzing.checkpoints import ways_of_checkpoints
from fuzzing.place import Place
from fuzzing.sandbox import LONG

_NUMBERS = {
    "-1": "-1",
    "0": "0",
    "nan": "nan",
    "inf": "inf",
    "1e999": "1e999",
    "huge": "1" + "0" * 30,
    "2^31": str(2**31),
    "text": "text",
    "nothing": "",
}
_PATHS = {
    "nothing": "",
    "no such path": "{case}/no/such/path",
    "a folder": "{case}/folder",
    "a file": "{case}/file",
    "a named pipe": "{case}/pipe.png",
    "a socket": "{case}/socket.json",
    "/dev/null": "/dev/null",
    "/dev/zero": "/dev/zero",
    "a broken link": "{case}/broken",
    "a link to itself": "{case}/loop",
    "a name of 255 bytes": "{case}/out/" + "n" * 251 + ".png",
    "a name of 300 bytes": "{case}/out/" + "n" * 300,
}
_TEXTS = {
    "nothing": "",
    "text": "text",
    "-1": "-1",
    "NaN": "nan",
    "long": "x" * 5000,
    "?": "\x1b[31m",
}
_NO_NUMBER = {"nan", "inf", "1e999", "text", "nothing"}


def commands(place: Place, folder: Path) -> dict[str, tuple[str, ...]]:
    """Name -> a sound command line that ends soon; `demo` and `data fetch` have none."""
    made, tiny = str(out_folder(folder) / "made"), place / "tiny"
    bundle, faces = str(place / "bundle"), str(place / "faces")
    photos = ("--source", str(place / "source.png"), "--target", str(place / "target.png"))
    ways = ways_of_checkpoints(tiny, place, folder)
    return {
        "swap": ("swap", bundle, *photos, "--out", f"{made}.png"),
        "bench": ("bench", bundle, *photos, "--runs", "1", "--warmup", "0"),
        "inspect": ("inspect", bundle),
        "verify": ("verify", bundle),
        "doctor": ("doctor",),
        "data sheet": ("data", "sheet", faces, f"{made}.png"),
        "data align": ("data", "align", str(place / "crops"), made),
        "train": ways["train"],
        "prune": ways["prune"],
        "distill": ways["distill"],
        "distill autoencoder": ways["small"],
        "personalize": ways["personalize"],
        "evaluate": ways["evaluate"],
        "export": ways["export"],
        "triton": ("triton", bundle, made),
        "build": ("build", str(place / "recipe.toml"), made),
        "engine": ("engine", bundle, made, "--backend", "tensorrt"),
    }


def option(place: Place, seed: int, folder: Path) -> Case:
    """One bad value for one option or position of one command."""
    name, action, value = _pairs(place)[seed]
    _write_traps(folder)
    text = _values(action)[value].replace("{case}", str(folder))
    argv = list(commands(place, folder)[name])
    if not action.option_strings:
        argv = _positioned(argv, name, action, text, place)
    else:
        argv = _without(argv, action)
        argv += [f"{action.option_strings[-1]}={text}"]
    numeric = action.type in (int, float)
    told = f"{name} {action.option_strings[-1] if action.option_strings else action.dest}: {value}"
    return Case(
        kind="option",
        seed=seed,
        description=told,
        argv=tuple(argv),
        must_refuse=numeric and value in _NO_NUMBER,
        limits=LONG,
    )


def count(place: Place) -> int:
    """How many such cases there are."""
    return len(_pairs(place))


@functools.cache
def _pairs(place: Place) -> list[tuple[str, argparse.Action, str]]:
    found: list[tuple[str, argparse.Action, str]] = []
    for name, argv in commands(place, place / "nowhere").items():
        for action in _parser(list(argv))._actions:
            flag = action.nargs == 0 or isinstance(
                action, argparse._HelpAction | argparse._SubParsersAction
            )
            if not flag:
                found += [(name, action, value) for value in _values(action)]
    return found


def _values(action: argparse.Action) -> dict[str, str]:
    """Bad values for an option, by what it takes: name -> value; {case} is the case's folder."""
    if action.type in (int, float):
        return _NUMBERS
    if action.choices is not None:
        return {"nothing": "", "text": "text"}
    return _PATHS if action.type is Path else _TEXTS | _NUMBERS


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    """The parser that a command line meets."""
    from edgeswap_runtime.cli import SUBCOMMANDS, parser_of

    longer = " ".join(argv[:2])
    parser = parser_of(longer if longer in SUBCOMMANDS else argv[0])
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found: argparse.ArgumentParser = action.choices[argv[1]]
            return found
    return parser


def _without(argv: list[str], action: argparse.Action) -> list[str]:
    """The command line without an option that it gives already."""
    for name in action.option_strings:
        if name in argv:
            at = argv.index(name)
            return argv[:at] + argv[at + 2 :]
    return argv


def _positioned(
    argv: list[str], name: str, action: argparse.Action, text: str, place: Place
) -> list[str]:
    """The command line with another value at a position."""
    words = len(name.split())
    positions = [a for a in _parser(argv)._actions if not a.option_strings]
    number = next(i for i, found in enumerate(positions) if found.dest == action.dest)
    argv[words + number] = text if not text.startswith("-") else f"./{text}"
    return argv


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def _write_traps(folder: Path) -> None:
    """A pipe, a socket, links that lead nowhere: what else a path may be."""
    (folder / "folder").mkdir()
    (folder / "file").write_text("text")
    os.mkfifo(folder / "pipe.png")
    (folder / "broken").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    with _inside(folder), socket.socket(socket.AF_UNIX) as made:  # its path has a short limit
        made.bind("socket.json")
