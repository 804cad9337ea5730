"""Name the layers of a diffusers U-Net as the code of latent diffusion names them (2112.10752).

Checkpoints of that code (`.ckpt`, single files) and LoRA made with it use these names.
"""

from __future__ import annotations

from typing import Any

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def ldm_names(unet: Any) -> dict[str, str]:
    """Map the path of each of a U-Net's layers that holds weights to its name there.

    Args:
        unet: a diffusers UNet2DConditionModel.
    """
    blocks = _ENDS | _down(unet) | _middle() | _up(unet)
    found: dict[str, str] = {}
    for path, module in unet.named_modules():
        if not any(True for _ in module.parameters(recurse=False)):
            continue
        home = max((b for b in blocks if _inside(path, b)), key=len, default=None)
        if home is None:
            continue
        rest = path[len(home) :].removeprefix(".")
        inner = _RESNET.get(rest, rest) if ".resnets." in f"{home}." else rest
        found[path] = f"{blocks[home]}.{inner}".rstrip(".")
    return found


def _inside(path: str, block: str) -> bool:
    return path == block or path.startswith(f"{block}.")


def _middle() -> dict[str, str]:
    places = ("resnets.0", "attentions.0", "resnets.1")
    return {f"mid_block.{place}": f"middle_block.{i}" for i, place in enumerate(places)}


def _down(unet: Any) -> dict[str, str]:
    found, index = {}, 1
    for level, block in enumerate(unet.down_blocks):
        for layer in range(len(block.resnets)):
            found[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{index}.0"
            found[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{index}.1"
            index += 1
        if block.downsamplers:
            found[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{index}.0.op"
            index += 1
    return found


def _up(unet: Any) -> dict[str, str]:
    found, index = {}, 0
    for level, block in enumerate(unet.up_blocks):
        for layer in range(len(block.resnets)):
            found[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{index}.0"
            found[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{index}.1"
            index += 1
        if block.upsamplers:
            behind = 2 if getattr(block, "attentions", None) else 1
            name = f"output_blocks.{index - 1}.{behind}.conv"
            found[f"up_blocks.{level}.upsamplers.0.conv"] = name
    return found


_VAE_RESNET = {"conv_shortcut": "nin_shortcut"}
_VAE_MIDDLE = {"resnets.0": "block_1", "attentions.0": "attn_1", "resnets.1": "block_2"}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def ldm_vae_name(path: str, levels: int) -> str:
    """Name a layer of a diffusers AutoencoderKL as the code of latent diffusion does.

    Args:
        path: of the module.
        levels: of the autoencoder.
    """
    half, _, rest = path.partition(".")
    if half not in ("encoder", "decoder"):
        return path
    if rest.startswith("mid_block."):
        block = next(b for b in _VAE_MIDDLE if rest.startswith(f"mid_block.{b}."))
        layer = rest.removeprefix(f"mid_block.{block}.")
        layer = _VAE_ATTENTION.get(layer, layer) if "attentions" in block else layer
        return f"{half}.mid.{_VAE_MIDDLE[block]}.{_VAE_RESNET.get(layer, layer)}"
    if rest.startswith(("down_blocks.", "up_blocks.")):
        side, level, kind, index, layer = rest.split(".", 4)
        down = side == "down_blocks"
        number = int(level) if down else levels - 1 - int(level)
        place = f"{half}.{'down' if down else 'up'}.{number}"
        if "samplers" in kind:
            return f"{place}.{'downsample' if down else 'upsample'}.{layer}"
        return f"{place}.block.{index}.{_VAE_RESNET.get(layer, layer)}"
    return f"{half}.{rest.replace('conv_norm_out', 'norm_out')}"
