"""`edgeswap bench`: how long does a swap take here, where does the time go, can I trust it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_bench._arguments import build_parser

if TYPE_CHECKING:
    import argparse

__all__ = ["build_parser", "check_options", "command"]


def command(argv: list[str]) -> int:
    """Time a bundle.

    Returns:
        0 fine, 1 nothing could be timed, 3 a condition (--require-settled, --fail-above) is not
        met.
    """
    options = build_parser().parse_args(argv)
    from edgeswap_bench.commands.run import run_bench

    return run_bench(options)


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse options that do not fit together; looks at no folder and loads no graph or torch."""
    from edgeswap_bench.commands.run import bench_config

    bench_config(options)
