"""``edgeswap export CHECKPOINT BUNDLE``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.precision import PRECISIONS
from edgeswap_runtime.bundle.manifest import Manifest, read_manifest
from edgeswap_runtime.errors import OutputExists


def command(argv: list[str]) -> int:
    """Run the sub-command; errors are the caller's to print.

    Args:
        argv: What follows ``edgeswap export``.

    Returns:
        0.
    """
    arguments = _parser().parse_args(argv)
    from edgeswap_export import ExportConfig, export  # torch: seconds, which --help need not wait

    config = ExportConfig.from_json(_settings(arguments))
    from edgeswap_export.unet.stage import NAME, export_unet, is_unet_folder

    if arguments.triton is not None:
        _check_triton(arguments, config.batch)
    if is_unet_folder(arguments.checkpoint):
        folder = export_unet(arguments.checkpoint, config, arguments.bundle, progress=_tell)
        stated = json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8"))
        print(json.dumps(stated) if arguments.json else _unet_table(folder, stated))
        return 0
    bundle = export(arguments.checkpoint, config, arguments.bundle, progress=_tell)
    manifest = read_manifest(bundle)
    print(json.dumps(_summary(bundle, manifest)) if arguments.json else _table(bundle, manifest))
    if arguments.triton is not None:
        from edgeswap_export.triton.repository import TritonConfig, docker_line, write_repository

        folder = write_repository(bundle, TritonConfig(), arguments.triton)
        print(docker_line(folder), file=sys.stderr if arguments.json else sys.stdout)
    return 0


def _check_triton(arguments: argparse.Namespace, batch: tuple[int, int, int] | None) -> None:
    """Refuse --triton where it could only fail after the work."""
    from edgeswap_export.unet.stage import is_unet_folder

    if is_unet_folder(arguments.checkpoint):
        raise UnsupportedExport("--triton serves whole swaps, not a bare U-Net: leave it out")
    if batch is None:
        raise UnsupportedExport("--triton needs a free batch: add --batch, such as 1:4:8")
    if arguments.triton.exists():
        raise OutputExists(arguments.triton)


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was said on the command line, as ExportConfig.from_json takes it."""
    from edgeswap_export import ScheduleRequest

    names = (
        "name",
        "sampler",
        "steps",
        "precision",
        "calibration_swaps",
        "batch",
        "license",
        "origin",
    )
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    if arguments.schedule:
        given["others"] = [ScheduleRequest.parse(text).to_json() for text in arguments.schedule]
    if arguments.option:
        given["options"] = arguments.option
    return {
        **given,
        "detector": not arguments.no_detector,
        "single_file": arguments.single_file,
        "compact": arguments.compact,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap export",
        description="Turn a checkpoint into a bundle and prove that both compute the same.",
    )
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT",
        help="checkpoint folder, or a diffusers U-Net's",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder to make")
    parser.add_argument("--sampler", help="of the default schedule (default: the checkpoint's)")
    parser.add_argument("--steps", type=int, help="of the default schedule (default: likewise)")
    parser.add_argument(
        "--option", action="append", metavar="NAME=VALUE", help="of --sampler, such as eta=0.5"
    )
    parser.add_argument(
        "--schedule", action="append", metavar="SAMPLER:STEPS[:NAME=VALUE,...]",
        help="store this one besides; again for more (default: ddim at 1, 2, 4, 8 and 25 steps)",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="of the graphs with weights (default: fp32)"
    )
    parser.add_argument(
        "--calibration-swaps", type=int, metavar="N", help="rendered swaps to observe (default: 24)"
    )
    parser.add_argument(
        "--batch", metavar="MIN:OPT:MAX", help="leave the batch free (default: one)"
    )
    parser.add_argument(
        "--single-file", action="store_true", help="write the whole swap as swap.onnx besides"
    )
    parser.add_argument(
        "--triton", type=Path, metavar="DIR",
        help="write a Triton model repository besides, as edgeswap triton does",
    )  # fmt: skip
    parser.add_argument("--name", help="the bundle's name (default: the checkpoint folder's)")
    parser.add_argument(
        "--license",
        help="SPDX license of the weights, such as Apache-2.0 (default: the checkpoint's, else"
        " 'unknown')",
    )
    parser.add_argument(
        "--origin",
        help="where the weights come from, in a few words (default: the checkpoint's, else"
        " 'unknown')",
    )
    parser.add_argument(
        "--compact", action="store_true",
        help="store weights in float16 where that loses no bit: half the size, the same numbers",
    )  # fmt: skip
    parser.add_argument(
        "--no-detector", action="store_true", help="leave the detector out: aligned crops only"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _summary(bundle: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "bundle": str(bundle),
        "name": manifest.name,
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
        "files": {name: entry.sha256 for name, entry in manifest.files.items()},
        "schedules": sorted(manifest.schedules),
        "default_schedule": manifest.default_schedule,
        "parity": manifest.parity,
    }


def _unet_table(folder: Path, stated: dict[str, Any]) -> str:
    size = sum(entry["bytes"] for entry in stated["files"].values()) / 1e6
    told = stated["parity"]["graphs"]["denoise"]["output"]
    kept = sum(len(names) for names in stated["float32_nodes"].values())
    return (
        f"{folder}: {stated['name']}, {stated['precision']}, {size:.1f} MB, {kept} layers kept in"
        f" float32; differs from torch by {told['relative']:.1e} standard deviations at most"
    )


def _table(bundle: Path, manifest: Manifest) -> str:
    lines = [f"{bundle}: {manifest.name}", f"{'graph':<10}{'MB':>8}  largest difference from torch"]
    for name, graph in manifest.graphs.items():
        # the weights of a large graph lie beside it
        held = [file for file in (graph.file, f"{graph.file}.data") if file in manifest.files]
        size = sum(manifest.files[file].bytes for file in held) / 1e6
        outputs = manifest.parity["graphs"].get(name, {}).values()
        worst = max((output["relative"] for output in outputs), default=None)
        told = "(copied)" if worst is None else f"{worst:.1e} standard deviations"
        lines.append(f"{name:<10}{size:>8.2f}  {told}")
    lines.append(f"{'schedule':<18}  largest difference of a swapped crop from torch")
    for name, swap in manifest.parity["swaps"].items():
        mark = "*" if name == manifest.default_schedule else " "
        told = swap if isinstance(swap, str) else f"{swap['max_abs']:.1e} of a range of 2"
        lines.append(f"{name:<17}{mark}  {told}")
    return "\n".join(lines)
