"""``edgeswap inspect CHECKPOINT``: show the parts, sizes and history of a checkpoint."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeswap_compress.checkpoint.folder import Checkpoint


def describe(path: Path) -> dict[str, Any]:
    """List parameters, MACs, sizes, conditioning and history of a checkpoint folder.

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
    macs = _macs(checkpoint)
    return {
        "path": str(path),
        "kind": "swap-checkpoint",
        "resolution_px": swap.resolution_px,
        "latents": [swap.latent_channels, swap.latent_size, swap.latent_size],
        "input_channels": list(swap.input_channels),
        "prediction": {
            "target": swap.prediction_target,
            "type": checkpoint.scheduler.config.prediction_type,
        },
        "conditioning": {
            "tokens": [macs["tokens"], checkpoint.unet.config.cross_attention_dim],
            "vector": checkpoint.conditioner.config.vector_size,
            "identity_encoder": swap.identity_encoder,
        },
        "guidance_scale": swap.guidance_scale,
        "default_steps": swap.default_steps,
        "default_sampler": swap.default_sampler,
        "pruned": checkpoint.plan is not None,
        "parameters": {
            name: sum(p.numel() for p in module.parameters())
            for name, module in checkpoint.modules.items()
        },
        "macs": {name: count for name, count in macs.items() if name != "tokens"},
        "bytes": {n: (path / n / WEIGHTS_NAME).stat().st_size for n in checkpoint.modules},
        "sha256": {n: sha256_file(path / n / WEIGHTS_NAME) for n in checkpoint.modules},
        "weights_dtype": swap.weights_dtype,
        "history": list(swap.history),
    }


def _macs(checkpoint: Checkpoint) -> dict[str, int]:
    import torch

    from edgeswap_compress._macs import count_macs
    from edgeswap_compress.checkpoint.latents import works_normalized

    swap, vae = checkpoint.swap, checkpoint.vae
    patches = torch.zeros(1, vae.config.in_channels, *[swap.resolution_px // swap.patch_size] * 2)
    latents = torch.zeros(1, swap.latent_channels, swap.latent_size, swap.latent_size)
    argument = "x" if works_normalized(vae) else "sample"
    with torch.no_grad():
        tokens, vector = checkpoint.conditioner(latents)
    inputs = {
        "sample": torch.cat([latents] * len(swap.input_channels), dim=1),
        "timestep": torch.zeros(1, dtype=torch.long),
        "encoder_hidden_states": tokens,
        "class_labels": vector,
    }
    macs = {
        "tokens": int(tokens.shape[1]),
        "unet": count_macs(checkpoint.unet, inputs),
        "conditioner": count_macs(checkpoint.conditioner, {"source_latents": latents}),
        "encoder": count_macs(vae.encoder, {argument: patches}),
        "decoder": count_macs(vae.decoder, {argument: latents}),
    }
    if checkpoint.blend is not None:
        crop = torch.zeros(1, 3, swap.resolution_px, swap.resolution_px)
        macs["blend"] = count_macs(checkpoint.blend, {"decoded": crop, "target": crop})
    return macs


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
    lines = [
        f"checkpoint   {facts['path']}",
        f"crop         {facts['resolution_px']} px, latents {channels} x {size} x {size}",
        f"U-Net input  {' + '.join(facts['input_channels'])}",
        f"predicts     {facts['prediction']['type']} of the {facts['prediction']['target']}",
        f"source       {facts['conditioning']['tokens'][0]} tokens of "
        f"{facts['conditioning']['tokens'][1]}, vector of {facts['conditioning']['vector']}",
        f"sampling     {facts['default_sampler']}, {facts['default_steps']} steps, guidance "
        f"{facts['guidance_scale']}",
        f"pruned       {'yes' if facts['pruned'] else 'no'}",
    ]
    for name, count in facts["parameters"].items():
        macs = {k: v for k, v in facts["macs"].items() if k == name}
        macs = macs or {k: facts["macs"][k] for k in ("encoder", "decoder")}
        work = ", ".join(f"{label} {value / 1e6:.1f} MMACs" for label, value in macs.items())
        lines.append(
            f"{name:12} {count / 1e6:.2f} M parameters, {facts['bytes'][name] / 1e6:.1f} MB, {work}"
        )
    stages = [f"{i + 1}. {entry['stage']}" for i, entry in enumerate(facts["history"])]
    lines.append(f"history      {' '.join(stages) or 'none'}")
    if "verified_files" in facts:
        lines.append(f"verified     {facts['verified_files']} files have the sha256 they should")
    return lines
