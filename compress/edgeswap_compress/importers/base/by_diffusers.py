"""Let diffusers load the files of an import by itself, for the proof."""

from __future__ import annotations

import re
import tempfile
import types
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.modeling_outputs import AutoencoderKLOutput

from edgeswap_compress.diffusers_folder.weight_files import STEM, weight_files
from edgeswap_compress.importers.base.backbone import Backbone
from edgeswap_compress.importers.base.reference import MeanAlone
from edgeswap_compress.importers.files.tensor_files import read_tensors

_VARIANT = re.compile(rf"{STEM}(?:\.(?P<variant>\w+))?(?:-\d+-of-\d+)?\.safetensors")
"""Name of a weights file: "diffusion_pytorch_model.fp16-00001-of-00002.safetensors"."""


def load_by_diffusers(base: Path, backbone: Backbone) -> tuple[Any, Any]:
    """Load U-Net and autoencoder of a base model by diffusers alone, float32.

    Args:
        base: folder or file.
        backbone: the same as we read it; of a file, its configs are ours.
    """
    if base.is_dir():
        unet, vae = (_loaded(kind, base / part) for kind, part in (
            (UNet2DConditionModel, "unet"), (AutoencoderKL, "vae")))  # fmt: skip
        return unet, _mean_latents(vae, backbone)
    tensors = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in read_tensors(base).items()
    }
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for kind, module in ((UNet2DConditionModel, backbone.unet),
                             (AutoencoderKL, backbone.vae)):  # fmt: skip
            place = Path(folder) / kind.__name__
            module.save_config(place)
            found.append(kind.from_single_file(dict(tensors), config=str(place)))
    return found[0], _mean_latents(found[1], backbone)


def _loaded(kind: Any, folder: Path) -> Any:
    """Name the one variant that there is, as diffusers wants it."""
    named = _VARIANT.fullmatch(weight_files(folder)[0].name)
    return kind.from_pretrained(
        folder,
        torch_dtype=torch.float32,
        variant=named["variant"] if named else None,
        use_safetensors=True,
    )


def _mean_latents(vae: Any, backbone: Backbone) -> Any:
    """Let an autoencoder's `encode` give what a pipeline takes; changes it in place.

    Pipelines draw latents from a distribution: here they get its mean. They multiply latents by the
    scaling factor, and only some of them read a shift or the channels' mean and deviation, which
    are applied here.
    """
    plain, scale = vae.encode, float(vae.config.scaling_factor)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (backbone.mean, backbone.std))
    stated = backbone.mean != (0.0,) or len(backbone.std) > 1
    vae.register_to_config(latents_mean=None, latents_std=None)

    def encode(self: Any, picture: torch.Tensor, return_dict: bool = True) -> Any:
        answer = MeanAlone(plain(picture).latent_dist.parameters)
        if stated:
            answer.mean = (answer.mean - mean) / (std * scale)
        return AutoencoderKLOutput(latent_dist=answer) if return_dict else (answer,)

    vae.encode = types.MethodType(encode, vae)
    return vae
