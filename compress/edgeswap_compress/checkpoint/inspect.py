"""``edgeswap inspect CHECKPOINT``: show the parts, sizes and history of a checkpoint."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeswap_compress.checkpoint.folder import Checkpoint


def describe(path: Path) -> dict[str, Any]:
    """List parameters, MACs, sizes, conditions, licenses and history of a checkpoint folder.

    MACs are those of one crop: one U-Net evaluation, one encoding of source tokens, one pass of
    the autoencoder's halves. Every tensor is checked on the way.

    Args:
        path: the folder.

    Raises:
        InvalidCheckpoint: the folder does not hold what its configs promise.
    """
    from edgeswap_compress.checkpoint.folder import Checkpoint
    from edgeswap_compress.diffusers_folder.weight_files import WEIGHTS_NAME
    from edgeswap_runtime.files import sha256_file

    checkpoint = Checkpoint.load(path)
    swap = checkpoint.swap
    modules = checkpoint.modules()
    raw = swap.to_json()
    files = {name: path / name / WEIGHTS_NAME for name in modules}
    files |= {name: path / name for name in checkpoint.parts if (path / name).is_file()}
    return {
        "path": str(path),
        "kind": "swap-checkpoint",
        "resolution_px": swap.resolution_px,
        "crops": raw["crops"],
        "latents": [swap.latent_channels, swap.latent_size, swap.latent_size],
        "inputs": raw["inputs"],
        "prediction": {
            "target": swap.prediction_target,
            "type": checkpoint.scheduler.config.prediction_type,
        },
        "conditions": raw["conditions"],
        "condition_shapes": _condition_shapes(checkpoint),
        "attention": raw["attention"],
        "controlnet": raw["controlnet"],
        "sampling": raw["sampling"],
        "pruned": checkpoint.plan is not None,
        "parameters": {
            name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()
        },
        "macs": _macs(checkpoint),
        "bytes": {name: file.stat().st_size for name, file in files.items()},
        "sha256": {name: sha256_file(file) for name, file in files.items()},
        "licenses": raw["licenses"],
        "weights_dtype": swap.weights_dtype,
        "history": list(swap.history),
    }


def _condition_shapes(checkpoint: Checkpoint) -> dict[str, list[int]]:
    """Name of a part of the condition -> its shape for one swap."""
    from edgeswap_compress.checkpoint.blank import blank_condition

    if checkpoint.swap.has_plugin:
        return {}
    given = blank_condition(checkpoint.swap, checkpoint.conditioner, checkpoint.parts)
    return {name: list(value.shape[1:]) for name, value in given.named().items()}


def _macs(checkpoint: Checkpoint) -> dict[str, int]:
    """Count the multiply-accumulates of each module that runs for one swap."""
    import torch

    from edgeswap_compress._macs import count_macs
    from edgeswap_compress.checkpoint.blank import blank_condition
    from edgeswap_compress.checkpoint.latents import works_normalized
    from edgeswap_compress.checkpoint.target_maps import TargetMaps

    swap, vae = checkpoint.swap, checkpoint.vae
    side = swap.resolution_px
    patches = torch.zeros(1, vae.config.in_channels, *[side // swap.patch_size] * 2)
    latents = torch.zeros(1, swap.latent_channels, swap.latent_size, swap.latent_size)
    argument = "x" if works_normalized(vae) else "sample"
    found = {
        "encoder": count_macs(vae.encoder, {argument: patches}),
        "decoder": count_macs(vae.decoder, {argument: latents}),
    }
    if checkpoint.conditioner is not None:
        found["conditioner"] = count_macs(checkpoint.conditioner, {"source_latents": latents})
    if not swap.has_plugin:
        condition = blank_condition(swap, checkpoint.conditioner, checkpoint.parts)
        target = TargetMaps(latents, latents, latents[:, :1], torch.zeros(1, 3, side, side))
        at = torch.zeros(1, dtype=torch.long)
        with torch.no_grad():
            given = checkpoint.denoiser().inputs(latents, at, target, condition)
        found["unet"] = count_macs(checkpoint.unet, given)
    if checkpoint.overlay is not None:
        crop = torch.zeros(1, 3, side, side)
        found["overlay"] = count_macs(checkpoint.overlay, {"decoded": crop, "target": crop})
    return found


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap inspect`` for checkpoints."""
    parser = argparse.ArgumentParser(
        prog="edgeswap inspect", description="Show the parts, sizes and history of a checkpoint."
    )
    parser.add_argument("path", type=Path, metavar="CHECKPOINT", help="checkpoint folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object (default: text)")
    parser.add_argument(
        "--verify", action="store_true", help="also check every file's sha256 (default: no)"
    )
    return parser


def command(argv: list[str]) -> int:
    """Run ``edgeswap inspect`` on a checkpoint.

    Args:
        argv: arguments after the command's name.

    Returns:
        The exit code.
    """
    args = build_parser().parse_args(argv)
    facts = describe(args.path)
    if args.verify:
        from edgeswap_compress.checkpoint.folder import verify_checkpoint

        facts["verified_files"] = verify_checkpoint(args.path)
    if args.json:
        print(json.dumps(facts))
        return 0
    print("\n".join(_lines(facts)))
    return 0


def _lines(facts: dict[str, Any]) -> list[str]:
    channels, size, _ = facts["latents"]
    groups = [f"{group['role']} {group['channels']}" for group in facts["inputs"]]
    sampling, attention = facts["sampling"], facts["attention"]
    lines = [
        f"checkpoint   {facts['path']}",
        f"crop         {facts['resolution_px']} px, latents {channels} x {size} x {size}",
        f"U-Net input  {' + '.join(groups)}",
        f"predicts     {facts['prediction']['type']} of the {facts['prediction']['target']}",
        *_condition_lines(facts),
        f"attention    {attention['kind']}"
        + (f", adapter x {attention['scale']:g}" if attention["kind"] == "decoupled" else ""),
        f"sampling     {sampling['sampler']}, {sampling['steps']} steps, guidance "
        f"{sampling['guidance_scale']}, from {sampling['start']['at']}"
        + (", blended with the target" if sampling["blend"] != "none" else ""),
        f"pruned       {'yes' if facts['pruned'] else 'no'}",
    ]
    if facts["controlnet"] is not None:
        lines.append(f"ControlNet   {facts['controlnet']['hint']} of the crop, x "
                     f"{facts['controlnet']['scale']:g}")  # fmt: skip
    lines += [_module_line(name, facts) for name in facts["parameters"]]
    for entry in facts["licenses"]:
        lines.append(f"license      {entry['what']}: {entry['license']} ({entry['origin']})")
    stages = [f"{i + 1}. {entry['stage']}" for i, entry in enumerate(facts["history"])]
    lines.append(f"history      {' '.join(stages) or 'none'}")
    if "verified_files" in facts:
        lines.append(f"verified     {facts['verified_files']} files have the sha256 they should")
    return lines


def _condition_lines(facts: dict[str, Any]) -> list[str]:
    """Say what the U-Net is told: each condition, and the shapes of what they give together."""
    lines = []
    for part in facts["conditions"]:
        words = part["kind"].replace("_", " ")
        for one in part.get("features", ()):
            words += f", {one['graph']} of {one['crop']}/{one['of']}"
        lines.append(f"told         {words}")
    shapes = [
        f"{name} {' x '.join(map(str, shape))}" for name, shape in facts["condition_shapes"].items()
    ]
    return [*lines, f"condition    {', '.join(shapes)}"] if shapes else lines


def _module_line(name: str, facts: dict[str, Any]) -> str:
    """Say how large a module is, and what it costs."""
    known = {"vae": ("encoder", "decoder")}.get(name, (name,))
    macs = {k: facts["macs"][k] for k in known if k in facts["macs"]}
    work = "".join(f", {label} {value / 1e6:.1f} MMACs" for label, value in macs.items())
    count, size = facts["parameters"][name], facts["bytes"][name]
    return f"{name:12} {count / 1e6:.2f} M parameters, {size / 1e6:.1f} MB{work}"
