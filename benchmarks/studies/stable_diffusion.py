"""Write models of Stable Diffusion 1.5's true size, with random weights, as their owners publish.

Not a study: `export_size.py`, `pruning_size.py` and `import_size.py` share it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WIDTH = 320
"""Channels of the U-Net's first level."""
TOKEN_WIDTH = 768
"""Of cross-attention: of a text token."""
INPAINTING_CHANNELS = 9
"""Of the U-Net's input: noise 4, mask 1, masked target 4."""


def random_unet(width: int = WIDTH) -> Any:
    """Make the inpainting U-Net in float16: 860 M parameters at the true width."""
    import torch
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=64,
            in_channels=INPAINTING_CHANNELS,
            out_channels=4,
            block_out_channels=(width, 2 * width, 4 * width, 4 * width),
            cross_attention_dim=TOKEN_WIDTH,
            attention_head_dim=8,
        )
    return unet.half().eval()


def random_vae(width: int = WIDTH) -> Any:
    """Make the autoencoder in float16: 84 M parameters at the true width, 8 px to a latent."""
    import torch
    from diffusers import AutoencoderKL

    base = 128 * width // WIDTH // 32 * 32 or 32
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(base, 2 * base, 4 * base, 4 * base),
            layers_per_block=2,
            latent_channels=4,
            sample_size=512,
            scaling_factor=0.18215,
        )
    return vae.half().eval()


def write_base(folder: Path, width: int = WIDTH) -> Path:
    """Write a pipeline folder without text encoders: U-Net, autoencoder, scheduler.

    Args:
        folder: to make.
        width: of the U-Net's first level; the autoencoder's goes with it.
    """
    from diffusers import PNDMScheduler

    random_unet(width).save_pretrained(folder / "unet")
    random_vae(width).save_pretrained(folder / "vae")
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        skip_prk_steps=True,
    )
    scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionInpaintPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "PNDMScheduler"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


def write_prompt(folder: Path) -> Path:
    """Write what a text encoder would say of a prompt and of a negative one: 77 tokens each."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(3)
    values = {
        name: torch.randn(1, 77, TOKEN_WIDTH, generator=random)
        for name in ("prompt_embeds", "negative_prompt_embeds")
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(values, folder / "prompt.safetensors")
    return folder / "prompt.safetensors"


def write_faceid(folder: Path, width: int = WIDTH) -> list[str]:
    """Write base, adapter, words and recognizer; give the arguments of `edgeswap import`.

    Args:
        folder: to make; what is there is kept.
        width: as `write_base`.

    Returns:
        "faceid", the base's folder, and the options that name the other files.
    """
    from edgeswap_compress.importers.tiny.adapters import tiny_adapter
    from edgeswap_compress.importers.tiny.encoders import tiny_recognizer

    base, adapter = folder / "base", folder / "adapter.safetensors"
    if not (base / "model_index.json").is_file():
        write_base(base, width)
    if not adapter.is_file():
        from diffusers import UNet2DConditionModel

        tiny_adapter(adapter, UNet2DConditionModel.from_pretrained(base / "unet"), "faceid")
    recognizer = tiny_recognizer(folder / "recognizer.onnx")
    words: list[Any] = ["faceid", base, "--adapter", adapter, "--recognizer", recognizer]
    return [str(word) for word in [*words, "--prompt-embeds", write_prompt(folder)]]
