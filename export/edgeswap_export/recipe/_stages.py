"""List the stages of a build: the command of each, and the folders it is given."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from edgeswap_runtime.cli import COMMANDS

BUNDLE, RECORD = "bundle", "build.json"
"""Names of the finished bundle and of the record, in a build's folder."""

Positions = Callable[[str, str, str], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStage:
    """A command as a stage of a build.

    Attributes:
        words: the command and its sub-command, if any.
        home: module of the sub-command; None for the command's own module.
        positions: (the recipe's checkpoint, the folder to read, the folder to make) -> the
            positional arguments of the command.
        makes: kind of folder that it makes, "checkpoint" or "bundle"; None if it only reports.
        taken: options that the build itself sets.
        writes: options that name files which the command makes or adds to.
        runs: whether it keeps its state in a `--run` folder and can continue.
        repeats: whether a recipe may hold it several times, each on the result of the last.
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
"""Name of the recipe's table -> stage, in the order of running."""


def parser_of(stage: str) -> argparse.ArgumentParser:
    """Make the parser of a stage's command."""
    parser: argparse.ArgumentParser = home_of_stage(stage).build_parser()
    return parser


def home_of_stage(stage: str) -> ModuleType:
    """Import the module of a stage's command."""
    return importlib.import_module(STAGES[stage].home or COMMANDS[stage][0].partition(":")[0])
