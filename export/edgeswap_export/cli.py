"""Run `edgeswap export CHECKPOINT OUT`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_compress.fit.cli import add_device
from edgeswap_compress.fit.machine.device import device_line
from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.precision import PRECISIONS
from edgeswap_runtime.bundle.manifest import Manifest, read_manifest
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.files import require_folder
from edgeswap_runtime.strict_json import read_json_object

if TYPE_CHECKING:
    from edgeswap_export._config import ExportConfig

_SETTINGS = (
    "name",
    "sampler",
    "steps",
    "precision",
    "calibration_swaps",
    "batch",
    "license",
    "origin",
)


def command(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: the arguments after `edgeswap export`.

    Returns:
        the exit code, 0.

    Raises:
        EdgeswapError: as `export`, for the caller to print.
        EdgeswapFailure: likewise.
    """
    arguments = build_parser().parse_args(argv)
    config = _config(arguments)
    require_folder(
        arguments.checkpoint,
        what="checkpoint",
        holds=("swap.json", "config.json", "unet/config.json"),
        make="edgeswap prune or edgeswap distill",
    )
    if arguments.out.exists():
        raise OutputExists(arguments.out)
    from edgeswap_export.unet import is_unet_folder  # torch: after the quick checks

    is_unet = is_unet_folder(arguments.checkpoint)
    if arguments.triton is not None:
        _check_triton(arguments.triton, config, is_unet=is_unet)
    if is_unet:
        return _export_unet(arguments, config)
    from edgeswap_export import export

    print(device_line(arguments.device, training=False), file=sys.stderr)
    bundle = export(
        arguments.checkpoint, config, arguments.out, device=arguments.device, progress=_tell
    )
    manifest = read_manifest(bundle)
    print(json.dumps(_summary(bundle, manifest)) if arguments.json else _table(bundle, manifest))
    if arguments.triton is not None:
        from edgeswap_export.triton import TritonConfig, docker_line, triton

        folder = triton(bundle, TritonConfig(), arguments.triton)
        print(docker_line(folder), file=sys.stderr if arguments.json else sys.stdout)
    return 0


def _export_unet(arguments: argparse.Namespace, config: ExportConfig) -> int:
    from edgeswap_export.unet import NAME, export_unet

    print(device_line(arguments.device, training=False), file=sys.stderr)
    folder = export_unet(
        arguments.checkpoint, config, arguments.out, device=arguments.device, progress=_tell
    )
    stated = read_json_object(folder / f"{NAME}.json")
    print(json.dumps(stated) if arguments.json else _unet_table(folder, stated))
    return 0


def _check_triton(folder: Path, config: ExportConfig, *, is_unet: bool) -> None:
    """Refuse --triton before the export where it would fail after it."""
    if is_unet:
        raise UnsupportedExport("--triton serves whole swaps, not a bare U-Net: leave it out")
    if config.graphs.batch is None:
        raise UnsupportedExport("--triton needs a dynamic batch: add --batch, such as 1:4:8")
    if folder.exists():
        raise OutputExists(folder)


def check_options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse options that do not fit together; looks at no folder and loads no graph or torch."""
    _config(arguments)


def _config(arguments: argparse.Namespace) -> ExportConfig:
    """Make the config of the parsed arguments."""
    from edgeswap_export import ExportConfig, ScheduleRequest

    given = {name: value for name in _SETTINGS if (value := getattr(arguments, name)) is not None}
    if arguments.schedule:
        given["others"] = [ScheduleRequest.parse(text).to_json() for text in arguments.schedule]
    if arguments.option:
        given["options"] = arguments.option
    return ExportConfig.from_json(
        {
            **given,
            "detector": not arguments.no_detector,
            "single_file": arguments.single_file,
            "compact": arguments.compact,
        }
    )


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `edgeswap export`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap export",
        description="Turn a checkpoint into a bundle of ONNX graphs and prove that both compute "
        "the same.",
    )
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT",
        help="checkpoint folder, or the folder of a bare diffusers U-Net",
    )  # fmt: skip
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make, the bundle")
    _add_schedules(parser.add_argument_group("schedules"))
    _add_graphs(parser.add_argument_group("graphs"))
    info = parser.add_argument_group("what the bundle says of itself")
    info.add_argument("--name", help="name of the bundle (default: the checkpoint folder's)")
    info.add_argument(
        "--license",
        help="SPDX identifier of the weights' license, such as Apache-2.0 (default: the "
        "checkpoint's, else 'unknown')",
    )
    info.add_argument(
        "--origin",
        help="where the weights come from, in a few words (default: the checkpoint's, else "
        "'unknown')",
    )
    add_device(parser.add_argument, of="torch's reference for the proof")
    parser.add_argument(
        "--triton", type=Path, metavar="FOLDER",
        help="also write a model repository for NVIDIA's Triton server into this new folder "
        "(default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of a table"
    )
    return parser


def _add_schedules(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--sampler",
        help="sampler of the default schedule: ddim, ddpm, dpmpp_2m, euler, langevin or lcm "
        "(default: the checkpoint's)",
    )
    group.add_argument(
        "--steps", type=int, metavar="N",
        help="sampling steps of the default schedule, at least 1 (default: the checkpoint's)",
    )  # fmt: skip
    group.add_argument(
        "--option", action="append", metavar="NAME=VALUE",
        help="option of --sampler, such as eta=0.5, or of any sampler: spacing=leading|linspace|"
        "trailing, strength=0.7 to start from the target, blend=true to keep it outside the mask; "
        "may be repeated (default: the checkpoint's)",
    )  # fmt: skip
    group.add_argument(
        "--schedule", action="append", metavar="SAMPLER:STEPS[:NAME=VALUE,...]",
        help="another schedule to store; may be repeated (default: ddim at 1, 2, 4, 8 and 25 "
        "steps, none for a checkpoint of one step or of latents above 32 x 32)",
    )  # fmt: skip


def _add_graphs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--precision", choices=PRECISIONS,
        help="number format inside the graphs with weights (default: fp32)",
    )  # fmt: skip
    group.add_argument(
        "--calibration-swaps", type=int, metavar="N",
        help="rendered swaps to measure value ranges on, at least 1, for fp16, int8 and fp8 "
        "(default: 24, and fewer of crops above 96 px)",
    )  # fmt: skip
    group.add_argument(
        "--batch", metavar="MIN:OPT:MAX",
        help="make the batch dynamic, sizes of at least 1, such as 1:4:8 (default: a fixed batch "
        "of 1)",
    )  # fmt: skip
    group.add_argument(
        "--compact", action="store_true",
        help="store weights in float16 where that changes no weight (default: store float32)",
    )  # fmt: skip
    group.add_argument(
        "--single-file", action="store_true",
        help="also write the whole swap as one graph, swap.onnx (default: do not)",
    )  # fmt: skip
    group.add_argument(
        "--no-detector", action="store_true",
        help="leave the face detector out; the bundle then swaps aligned crops only (default: "
        "include it)",
    )  # fmt: skip


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
        f" float32; differs from torch by {told['relative']:.1e} standard deviations at most\n"
        f"wrote {folder / 'denoise.onnx'}"
    )


def _table(bundle: Path, manifest: Manifest) -> str:
    lines = [f"{bundle}: {manifest.name}", f"{'graph':<10}{'MB':>8}  largest difference from torch"]
    for name, graph in manifest.graphs.items():
        # the weights of a large graph are in a file beside it
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
    swap = f"edgeswap swap {bundle} --source SOURCE.jpg --target TARGET.jpg --out swapped.png"
    following = swap if "detector" in manifest.graphs else f"edgeswap inspect {bundle}"
    return "\n".join([*lines, f"wrote {bundle}", f"next: {following}"])
