"""Run `edgeswap triton BUNDLE OUT`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgeswap_export.triton._config import ACCELERATORS


def command(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: the arguments after `edgeswap triton`.

    Returns:
        the exit code, 0.

    Raises:
        EdgeswapError: as `triton`, for the caller to print.
    """
    options = build_parser().parse_args(argv)
    from edgeswap_export.triton import ENSEMBLES, TritonConfig, docker_line, triton

    config = TritonConfig(
        schedule=options.schedule, delay_us=options.queue_delay_us, accelerator=options.accelerator
    )
    folder = triton(options.bundle, config, options.out)
    models = sorted(path.name for path in folder.iterdir())
    if options.json:
        told = {"repository": str(folder), "models": models, "docker": docker_line(folder)}
        print(json.dumps(told))
    else:
        print(f"wrote {folder}: {', '.join(models)}; ask for {' or '.join(ENSEMBLES)}")
        print(f"next: {docker_line(folder)}")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `edgeswap triton`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap triton",
        description="Write a bundle as a model repository of NVIDIA's Triton Inference Server.",
    )
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="bundle folder, exported with --batch"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make, the repository")
    parser.add_argument(
        "--schedule", metavar="NAME", help="schedule of the bundle to serve (default: its default)"
    )
    parser.add_argument(
        "--queue-delay-us", type=int, default=1000, metavar="N",
        help="microseconds that a request waits for others, at least 0 (default: 1000)",
    )  # fmt: skip
    parser.add_argument(
        "--accelerator",
        choices=ACCELERATORS,
        help="compiler of ONNX Runtime on a GPU (default: none)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser
