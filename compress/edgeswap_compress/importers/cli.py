"""``edgeswap import FAMILY``: make a checkpoint of somebody else's model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgeswap_compress.conditioning.crops import TEMPLATES
from edgeswap_compress.importers._options import (
    add_adapter,
    add_crop,
    add_places,
    add_prompt,
    add_recognizer,
    add_sampling,
    add_store,
    add_untold,
    encoders_of,
    eye_of,
    loras_of,
    prompt_of,
    settings_of,
    untold_of,
)
from edgeswap_compress.importers.faceid.request import (
    FILE_NAMES,
    AdapterRequest,
    ControlRequest,
    check_paths,
)
from edgeswap_compress.importers.families import FAMILIES, refuse
from edgeswap_compress.importers.python.request import FILE_NAMES as PLUGIN_FILES
from edgeswap_compress.importers.python.request import PluginRequest, parse_inputs
from edgeswap_compress.importers.reface.request import FILE_NAMES as EXAMPLE_FILES
from edgeswap_compress.importers.reface.request import WEIGHTS, ExampleRequest
from edgeswap_compress.importers.reface.request import check_paths as check_example_paths

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
    for name, add in _FAMILY_OPTIONS.items():
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


def _add_reface(parser: argparse.ArgumentParser) -> None:
    add_places(parser, "FILE", "the .ckpt or .safetensors file, image encoder and all in it")
    group = parser.add_argument_group("what the model sees")
    add_recognizer(group, align="psp")
    group.add_argument(
        "--image-align", choices=sorted(TEMPLATES), default="ffhq",
        help="where the face lies in the image encoder's picture (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--landmarks", type=Path, metavar="FILE",
        help="ONNX file that answers the target's crop with 68 landmarks (1, 136) in pixels of "
        "512 (default: none, their share of the token is left out)",
    )  # fmt: skip
    group.add_argument(
        "--token-weights", type=float, nargs=3, default=list(WEIGHTS),
        metavar=("PICTURE", "IDENTITY", "LANDMARKS"),
        help="weights of the token's three parts (default: 1 10 0.05, REFace's)",
    )  # fmt: skip
    add_untold(group)
    add_crop(parser)
    add_sampling(parser, steps=50, guidance=3.5, start=False)


def _add_python(parser: argparse.ArgumentParser) -> None:
    add_places(parser, "BASE", BASE)
    group = parser.add_argument_group("the module that computes the condition")
    group.add_argument(
        "--entry", required=True, metavar="NAME",
        help="installed entry point of edgeswap.conditioners, or the name of a file of "
        "EDGESWAP_CONDITIONERS without .py; required",
    )  # fmt: skip
    group.add_argument(
        "--files", type=Path, required=True, metavar="DIR",
        help="folder that is handed to it, copied into the checkpoint; required",
    )  # fmt: skip
    group.add_argument(
        "--inputs", default="noise", metavar="ROLES",
        help="groups of channels at the U-Net's input, such as noise,mask=repaint,masked_target "
        "(default: noise)",
    )  # fmt: skip
    add_untold(group)
    add_crop(parser)
    add_sampling(parser, steps=30, guidance=1.0)


_FAMILY_OPTIONS = {
    "faceid": _add_faceid,
    "instantid": _add_instantid,
    "reface": _add_reface,
    "python": _add_python,
}


def command(argv: list[str]) -> int:
    """Run ``edgeswap import``.

    Args:
        argv: arguments after the command's name.

    Returns:
        The exit code.
    """
    if argv and not argv[0].startswith("-"):
        refuse(argv[0], argv[1:])
    args = build_parser().parse_args(argv)
    report = _import(args)
    print("\n".join(_lines(report)))
    return 0


def _import(args: argparse.Namespace) -> ImportReport:
    """Make the request and check every option and path, and only then import torch."""
    request = request_of(args)
    if isinstance(request, ExampleRequest):
        check_example_paths(request, args.out)
        from edgeswap_compress.importers.reface.stage import import_example

        return import_example(request, args.out)
    if isinstance(request, PluginRequest):
        from edgeswap_compress.importers.python.stage import import_plugin

        return import_plugin(request, args.out)
    check_paths(request, args.out)
    from edgeswap_compress.importers.faceid.stage import import_adapter

    return import_adapter(request, args.out)


def request_of(args: argparse.Namespace) -> AdapterRequest | ExampleRequest | PluginRequest:
    """Make the request of an import from the command's arguments."""
    if args.family == "reface":
        return _example_request(args)
    return _plugin_request(args) if args.family == "python" else _adapter_request(args)


def _example_request(args: argparse.Namespace) -> ExampleRequest:
    return ExampleRequest(
        base=args.base,
        image_align=args.image_align,
        recognizer=args.recognizer,
        recognizer_eye=eye_of(args),
        landmarks=args.landmarks,
        weights=tuple(args.token_weights),
        settings=settings_of(args, set(EXAMPLE_FILES)),
        untold=untold_of(args),
    )


def _plugin_request(args: argparse.Namespace) -> PluginRequest:
    return PluginRequest(
        base=args.base,
        entry=args.entry,
        files=args.files,
        inputs=parse_inputs(args.inputs),
        settings=settings_of(args, set(PLUGIN_FILES)),
        untold=untold_of(args),
    )


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
        untold=untold_of(args),
        family=args.family,
    )


def _lines(report: ImportReport) -> list[str]:
    proof = "not compared: diffusers has no pipeline for such a condition or such inputs"
    if report.difference is not None:
        proof = (
            f"proven: {report.steps} steps as by diffusers' own pipeline, largest difference "
            f"{report.difference:.1e} standard deviations"
        )
    return [
        f"{report.path}: a U-Net of {report.parameters / 1e6:.1f} M parameters",
        proof,
        f"next: edgeswap prune {report.path} OUT --macs-ratio 0.6",
    ]
