"""Add the arguments that commands which run a bundle share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeswap_runtime.backends import BACKENDS

if TYPE_CHECKING:
    import argparse


def add_bundle(parser: argparse._ActionsContainer) -> None:
    """Add BUNDLE, which may be left out."""
    parser.add_argument(
        "bundle",
        type=Path,
        nargs="?",
        metavar="BUNDLE",
        help="folder of a bundle, made by edgeswap export (default: the packaged bundle)",
    )


def add_source(
    parser: argparse._ActionsContainer, *, required: bool, usual: str | None = None
) -> None:
    """Add --source.

    Args:
        parser: a parser or a group of one.
        required: False in a group of which one is required.
        usual: what happens where none is given, for the help.
    """
    parser.add_argument(
        "--source",
        type=Path,
        required=required,
        action="append",
        metavar="PHOTO",
        help="photo of the face to put in, or a file that edgeswap identity wrote; give it again "
        "for more photos of the same person, which are averaged"
        + ("" if usual is None else f" (default: {usual})"),
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add what says how a swap is run and told: output, schedule, seed and backend."""
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing file (default: refuse)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object (default: text)")
    length = parser.add_mutually_exclusive_group()
    add_schedule(length)
    length.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="take the schedule with this many steps instead (default: see --schedule)",
    )
    add_seed(parser)
    add_detail(parser)
    add_backend_options(parser)


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


def add_detail(parser: argparse._ActionsContainer) -> None:
    """Add --keep-detail."""
    parser.add_argument(
        "--keep-detail",
        action="store_true",
        help="give faces larger than the model's crop the target's own grain and pores, where the "
        "swap left the skin as it was (default: leave them smooth)",
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
