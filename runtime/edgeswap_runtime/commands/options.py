"""Add the options that commands which run a bundle share: backend, device, threads, seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.backends import BACKENDS

if TYPE_CHECKING:
    import argparse


def add_backend_options(parser: argparse._ActionsContainer) -> None:
    """Add --backend, --device, --threads and --precision.

    Args:
        parser: a parser or a group of one.
    """
    parser.add_argument(
        "--backend",
        default="ort",
        metavar="NAME",
        help=f"library that runs the graphs: {', '.join(BACKENDS)} (default: ort)",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="what the backend runs on: cpu, cuda or tensorrt for ort; cpu, gpu or npu for "
        "openvino; cuda or cuda:N for tensorrt and tensorrt_rtx (default: cpu)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="processor threads, 1 to 4 for each core (default: one for each core)",
    )
    parser.add_argument(
        "--precision",
        metavar="NAME",
        help="precision to compute in, openvino only: fp32, bf16 or fp16 (default: fp32)",
    )


def add_schedule(parser: argparse._ActionsContainer) -> None:
    """Add --schedule."""
    parser.add_argument(
        "--schedule",
        metavar="NAME",
        help="schedule of the bundle, as edgeswap inspect lists them (default: the bundle's own "
        "default)",
    )


def add_seed(parser: argparse._ActionsContainer) -> None:
    """Add --seed."""
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the noise, 0 to 2**64 - 1; the same seed gives the same picture (default: 0)",
    )
