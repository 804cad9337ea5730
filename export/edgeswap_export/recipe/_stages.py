"""The stages of a build: which command each is, and what it is given."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from edgeswap_runtime.cli import COMMANDS

Positions = Callable[[str, str, str], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStage:
    """A command as a stage.

    Attributes:
        words: the command and sub-command.
        home: the module with the sub-command's parser; None where it is the command's own.
        positions: what the recipe begins with, the folder that the stage before has made, and the
            one to make -> the command's first arguments.
        makes: what kind of folder comes out, "checkpoint" or "bundle"; None for a report alone.
        taken: options that are not a recipe's to set.
        writes: options that name files which the command makes or goes on with.
        runs: whether it keeps its state in a `--run` folder and can be continued.
        repeats: whether it may stand several times, each on what the one before has made.
    """

    words: tuple[str, ...]
    home: str | None = None
    positions: Positions = lambda first, given, out: [given, out]
    makes: str | None
    taken: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    runs: bool = False
    repeats: bool = False


STAGES: dict[str, BuildStage] = {
    "prune": BuildStage(
        words=("prune",),
        makes="checkpoint",
        taken=("run",),
        writes=("latency-table",),
        runs=True,
    ),
    "distill": BuildStage(
        words=("distill",),
        positions=lambda first, given, out: [first, given, out],
        makes="checkpoint",
        taken=("run",),
        runs=True,
    ),
    "autoencoder": BuildStage(
        words=("distill", "autoencoder"),
        home="edgeswap_compress.distill.autoencoder.cli",
        makes="checkpoint",
        taken=("run",),
        runs=True,
    ),
    "export": BuildStage(words=("export",), makes="bundle", taken=("triton",)),
    "engine": BuildStage(words=("engine",), makes="bundle", repeats=True),
    "evaluate": BuildStage(
        words=("evaluate",), positions=lambda first, given, out: [given], makes=None
    ),
    "bench": BuildStage(words=("bench",), positions=lambda first, given, out: [given], makes=None),
}
"""Name of the recipe's table -> stage, in the order they run."""


def parser_of(stage: str) -> argparse.ArgumentParser:
    """The parser of a stage's command, to check a recipe by before any work begins."""
    home = home_of_stage(stage)
    build = getattr(home, "build_parser", None) or home._parser
    parser: argparse.ArgumentParser = build()
    return parser


def home_of_stage(stage: str) -> ModuleType:
    """The module of a stage's command."""
    return importlib.import_module(STAGES[stage].home or COMMANDS[stage][0].partition(":")[0])
