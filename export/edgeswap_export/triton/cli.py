"""``edgeswap triton BUNDLE DIR``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgeswap_export.triton._config import ACCELERATORS


def command(argv: list[str]) -> int:
    """Run the sub-command; errors are the caller's to print.

    Args:
        argv: What follows ``edgeswap triton``.

    Returns:
        0.
    """
    options = _parser().parse_args(argv)
    from edgeswap_export.triton.repository import (
        ENSEMBLES,
        TritonConfig,
        docker_line,
        write_repository,
    )

    config = TritonConfig(
        schedule=options.schedule, delay_us=options.queue_delay_us, accelerator=options.accelerator
    )
    folder = write_repository(options.bundle, config, options.out)
    models = sorted(path.name for path in folder.iterdir())
    if options.json:
        told = {"repository": str(folder), "models": models, "docker": docker_line(folder)}
        print(json.dumps(told))
    else:
        print(f"{folder}: {', '.join(models)}; ask for {' or '.join(ENSEMBLES)}")
        print(docker_line(folder))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap triton",
        description="Write a bundle as a model repository of NVIDIA's Triton Inference Server.",
    )
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="a bundle exported with --batch"
    )
    parser.add_argument("out", type=Path, metavar="DIR", help="folder to make")
    parser.add_argument("--schedule", metavar="NAME", help="(default: the bundle's)")
    parser.add_argument(
        "--queue-delay-us", type=int, default=1000, metavar="N",
        help="how long a request waits for others, in microseconds (default 1000)",
    )  # fmt: skip
    parser.add_argument(
        "--accelerator", choices=ACCELERATORS, help="let ONNX Runtime compile for the GPU"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
