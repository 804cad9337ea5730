"""``edgeswap import FAMILY``: make a checkpoint of somebody else's model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgeswap_compress.importers._options import (
    add_adapter,
    add_crop,
    add_places,
    add_prompt,
    add_sampling,
    add_store,
    encoders_of,
    loras_of,
    prompt_of,
    settings_of,
)
from edgeswap_compress.importers.faceid.request import (
    FILE_NAMES,
    AdapterRequest,
    ControlRequest,
)
from edgeswap_compress.importers.families import FAMILIES, refuse

if TYPE_CHECKING:
    from edgeswap_compress.importers.base.report import ImportReport

BASE = "diffusers pipeline folder, or one .safetensors or .ckpt file, of the base model"


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap import``."""
    parser = argparse.ArgumentParser(
        prog="edgeswap import",
        description="Make a checkpoint of a diffusion face-swap model as its owner has it. The "
        "result is compared with diffusers' own pipeline step by step, and written only where both "
        "agree. Pickles are read as tensors alone; no code in them is run.",
    )
    families = parser.add_subparsers(dest="family", required=True, metavar="FAMILY")
    for name, add in (("faceid", _add_faceid), ("instantid", _add_instantid)):
        child = families.add_parser(name, help=FAMILIES[name], description=f"{FAMILIES[name]}.")
        add(child)
        add_store(child)
    return parser


def _add_faceid(parser: argparse.ArgumentParser) -> None:
    add_places(parser, "BASE", BASE)
    add_adapter(parser)
    parser.add_argument(
        "--no-shortcut",
        action="store_true",
        help="FaceID Plus of version 1, which adds no shortcut (default: version 2's shortcut)",
    )
    add_prompt(parser)
    add_crop(parser)
    add_sampling(parser, steps=30, guidance=7.5)


def _add_instantid(parser: argparse.ArgumentParser) -> None:
    add_places(parser, "BASE", BASE)
    add_adapter(parser)
    parser.add_argument(
        "--controlnet", type=Path, required=True, metavar="DIR",
        help="folder of the ControlNet on drawn keypoints; required",
    )  # fmt: skip
    parser.add_argument(
        "--control-scale", type=float, default=0.8, metavar="X",
        help="weight of what the ControlNet adds, 0 to 10 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--control-tokens", choices=("own", "same"), default="own",
        help="own: the ControlNet reads the identity's tokens; same: the prompt's (default: own)",
    )  # fmt: skip
    add_prompt(parser)
    add_crop(parser, size=1024)
    add_sampling(parser, steps=30, guidance=5.0)


def command(argv: list[str]) -> int:
    """Run ``edgeswap import``.

    Args:
        argv: arguments after the command's name.

    Returns:
        The exit code.
    """
    if argv and not argv[0].startswith("-"):
        refuse(argv[0])
    args = build_parser().parse_args(argv)
    report = _import(args)
    print("\n".join(_lines(report)))
    return 0


def _import(args: argparse.Namespace) -> ImportReport:
    request = _adapter_request(args)
    from edgeswap_compress.importers.faceid.stage import import_adapter

    return import_adapter(request, args.out)


def _adapter_request(args: argparse.Namespace) -> AdapterRequest:
    instant = args.family == "instantid"
    control = ControlRequest(
        path=args.controlnet, scale=args.control_scale, tokens=args.control_tokens
    ) if instant else None  # fmt: skip
    return AdapterRequest(
        base=args.base,
        adapter=args.adapter,
        scale=args.scale,
        shortcut=not getattr(args, "no_shortcut", False),
        encoders=encoders_of(args, normalize=not instant),
        prompt=prompt_of(args),
        loras=loras_of(args),
        control=control,
        settings=settings_of(args, set(FILE_NAMES)),
        heads=args.heads,
        family=args.family,
    )


def _lines(report: ImportReport) -> list[str]:
    return [
        f"{report.path}: a U-Net of {report.parameters / 1e6:.1f} M parameters",
        f"proven: {report.steps} steps as by diffusers' own pipeline, largest difference "
        f"{report.difference:.1e} standard deviations",
        f"next: edgeswap prune {report.path} OUT --macs-ratio 0.6",
    ]
