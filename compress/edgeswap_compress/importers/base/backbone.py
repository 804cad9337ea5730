"""Read the base model: U-Net, autoencoder and noise schedule, of a folder or of one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from edgeswap_compress._pruning_errors import BadUNetFolder
from edgeswap_compress.checkpoint.swap_parts import LatentSpace
from edgeswap_compress.diffusers_folder.building import BUILD_ERRORS, first_line, public_config
from edgeswap_compress.diffusers_folder.config import (
    SCHEDULER_RULES,
    check_noise_class,
    config_problem,
)
from edgeswap_compress.diffusers_folder.unet_home import read_object, read_unet_config
from edgeswap_compress.diffusers_folder.weight_files import weight_files
from edgeswap_compress.diffusers_folder.weights import read_weights
from edgeswap_compress.importers.base.untold import NOISE_TO_THE_END, Untold
from edgeswap_compress.importers.errors import FamilyRefused, ImportRefused, PartMissing
from edgeswap_compress.importers.files.ldm_file import read_ldm_unet, read_ldm_vae
from edgeswap_compress.importers.files.tensor_files import read_tensors
from edgeswap_runtime.files import require_folder

SD_SCHEDULER: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
    "thresholding": False,
    "rescale_betas_zero_snr": False,
    "trained_betas": None,
}
"""Noise schedule of Stable Diffusion 1, which single files do not state (2112.10752, table 15)."""

SD_SCALING, XL_SCALING = 0.18215, 0.13025
"""Of the latents of Stable Diffusion 1 and 2, and of XL (its autoencoders' config.json)."""

_LATENTS = ("shift_factor", "latents_mean", "latents_std")
"""What an autoencoder's config says of its latents beside the scaling factor."""

_REFUSED = {
    "FluxTransformer2DModel": "it is a transformer, and pruning and export know U-Nets alone",
    "SD3Transformer2DModel": "it is a transformer, and pruning and export know U-Nets alone",
    "DiTTransformer2DModel": "it is a transformer, and pruning and export know U-Nets alone",
    "UNetMotionModel": "it makes films; a frame cannot be swapped by itself",
    "UNet3DConditionModel": "it makes films; a frame cannot be swapped by itself",
    "UNetSpatioTemporalConditionModel": "it makes films; a frame cannot be swapped by itself",
}
"""Class of a denoiser -> why it cannot be imported."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A base model in memory, float32.

    Attributes:
        unet, vae: its modules.
        scheduler: its scheduler_config.json, complete.
        mean, std: of its latents: normalized = (latents - mean) / std, one number or one for each
            channel.
        path: folder or file it was read from.
        files: weights files, for their hashes.
        dtype: dtype of the U-Net on disk, a name.
    """

    unet: Any
    vae: Any
    scheduler: Mapping[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    path: Path
    files: tuple[Path, ...]
    dtype: str

    def latent_space(self, size_px: int) -> LatentSpace:
        """Describe the latents of a crop of `size_px`.

        Raises:
            ImportRefused: the autoencoder or the U-Net does not halve it evenly.
        """
        shrinks = check_size(size_px, self.unet.config, self.vae.config)
        return LatentSpace(
            channels=int(self.vae.config.latent_channels),
            size=size_px // shrinks,
            mean=self.mean,
            std=self.std,
        )


def check_size(size_px: int, unet: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
    """Make sure that a crop can be halved as often as a model does; from its configs alone.

    Returns:
        how many pixels of a crop's side are one of its latents'.

    Raises:
        ImportRefused: its side is no multiple of that.
    """
    unet_levels, vae_levels = (len(config["block_out_channels"]) for config in (unet, vae))
    if size_px % (factor := 2 ** (unet_levels + vae_levels - 2)):
        raise ImportRefused(
            f"--size {size_px}: expected a multiple of {factor}, which this model halves evenly"
        )
    return int(2 ** (vae_levels - 1))


def check_base(path: Path) -> dict[str, Any]:
    """Look at a base model's configs alone, before any weight is read.

    Returns:
        the U-Net's config; {} for a single file.

    Raises:
        ImportRefused, BadFolder, PruningError: it is no base model that can be imported.
    """
    if path.is_file():
        return {}
    require_folder(
        path,
        what="base model",
        holds="unet/config.json",
        make="diffusers' save_pretrained, or name one .safetensors or .ckpt file",
    )
    raw = read_object(path / "unet" / "config.json")
    name = str(raw.get("_class_name"))
    if name in _REFUSED:
        raise FamilyRefused(f"{path} with a {name}", _REFUSED[name])
    config = read_unet_config(path / "unet" / "config.json")
    if config.get("_class_name") != "UNet2DConditionModel":
        why = "it reads no tokens, so nothing can tell it of a source"
        raise FamilyRefused(f"{path} with a {name}", why)
    for part in ("vae", "scheduler"):
        file = path / part / ("config.json" if part == "vae" else "scheduler_config.json")
        if not file.is_file():
            raise PartMissing(f"{path} has no {part}/: expected {file}; name the whole pipeline")
    read_scheduler(path)
    vae = read_object(path / "vae" / "config.json")
    if vae.get("_class_name") != "AutoencoderKL":
        found = vae.get("_class_name")
        raise ImportRefused(f"{path / 'vae'}: expected an AutoencoderKL, found a {found}")
    return config


_NO_OTHERS: dict[str, tuple[str, str]] = {
    "time_cond_proj_dim": (
        "is told the guidance scale",
        "fuse an LCM-LoRA into the plain base model",
    ),
    "encoder_hid_dim_type": (
        "projects what it is told before it reads it",
        "name the base model without an adapter in its config",
    ),
    "class_embed_type": ("is told a class", "name one without"),
    "num_class_embeds": ("is told a class", "name one without"),
}
"""Entry of a U-Net's config -> what it means, and what to do."""


def check_told(path: Path, config: Any) -> None:
    """Refuse a U-Net that is told more than tokens, and Stable Diffusion XL's sizes and text.

    Raises:
        ImportRefused: swap.json cannot say what it is told.
    """
    for name, (told, remedy) in _NO_OTHERS.items():
        if config.get(name) is not None:
            raise ImportRefused(
                f"{path}: its U-Net {told} ({name}), which swap.json cannot say: expected one "
                f"without; {remedy}"
            )
    if (added := config.get("addition_embed_type")) not in (None, "text_time"):
        raise ImportRefused(
            f"{path}: its U-Net has addition_embed_type {added!r}: expected null, or text_time as "
            "Stable Diffusion XL has; name another base model"
        )


def read_base(path: Path, untold: Untold) -> Backbone:
    """Read a base model's weights.

    Args:
        path: diffusers pipeline folder, or one file of latent diffusion's code.
        untold: what a single file does not tell, as the user says it.

    Raises:
        ImportRefused, BadFolder, PruningError: it is no base model that can be imported.
    """
    if path.is_file():
        return read_single_file(path, read_tensors(path), untold)
    untold.refuse(path)
    config = check_base(path)
    unet = _module(UNet2DConditionModel, config, path / "unet")
    vae_config = read_object(path / "vae" / "config.json")
    mean, std = _statistics(path / "vae" / "config.json", vae_config)
    kept = {name: value for name, value in vae_config.items() if name not in _LATENTS}
    vae = _module(AutoencoderKL, kept, path / "vae")
    dtype = _dtype_name(unet)
    return Backbone(
        unet=nn.Module.float(unet),
        vae=nn.Module.float(vae),
        scheduler=read_scheduler(path),
        mean=mean,
        std=std,
        path=path,
        files=(*weight_files(path / "unet"), *weight_files(path / "vae")),
        dtype=dtype,
    )


def read_single_file(path: Path, tensors: Mapping[str, Tensor], untold: Untold) -> Backbone:
    """Make a base model of the tensors of one file of latent diffusion's code, see `read_base`."""
    unet = read_ldm_unet(path, tensors, heads=untold.heads)
    xl = unet.config.addition_embed_type is not None
    scaling = XL_SCALING if xl else SD_SCALING
    vae = read_ldm_vae(path, tensors, scaling)
    scheduler = {**SD_SCHEDULER, "prediction_type": untold.predicts(path, tensors, unet.config)}
    if NOISE_TO_THE_END in tensors:
        scheduler |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    dtype = _dtype_name(unet)
    return Backbone(
        unet=unet.float(),
        vae=vae.float(),
        scheduler=scheduler,
        mean=(0.0,),
        std=(1.0 / scaling,),
        path=path,
        files=(path,),
        dtype=dtype,
    )


def _statistics(
    file: Path, config: Mapping[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of latents: (z - shift) * scale, or (z - mean) * scale / std."""
    if (problem := config_problem(config)) is not None:
        raise ImportRefused(f"{file}: {problem}")
    scale = float(config.get("scaling_factor", SD_SCALING))
    shift, mean, std = (config.get(name) for name in _LATENTS)
    if shift and (mean or std):
        raise ImportRefused(
            f"{file}: expected shift_factor, or latents_mean and latents_std, found both"
        )
    means = tuple(map(float, mean)) if mean else (float(shift or 0.0),)
    return means, tuple(float(one) / scale for one in std or (1.0,))


def read_controlnet(path: Path) -> Any:
    """Read a ControlNet's folder, float32.

    Raises:
        PartMissing, ImportRefused, BadUNetFolder: it is none.
    """
    file = path / "config.json"
    if not file.is_file():
        raise PartMissing(f"--controlnet {path}: expected a folder with config.json, found none")
    config = read_object(file)
    if config.get("_class_name") != "ControlNetModel":
        found = config.get("_class_name")
        raise ImportRefused(f"{file}: expected a ControlNetModel, found a {found}")
    return nn.Module.float(_module(ControlNetModel, config, path))


def read_scheduler(path: Path) -> dict[str, Any]:
    """Read scheduler_config.json whole, and refuse what no table of numbers can hold.

    Fields that would be left to another class's default are filled in as diffusers' pipelines of
    Stable Diffusion do: samples are not clipped.

    Raises:
        ImportRefused: the schedule thresholds or clips samples, or predicts another thing, or one
            that says nothing.
        InvalidCheckpoint: its class has no betas, such as flow matching's.
    """
    file = path / "scheduler" / "scheduler_config.json"
    settings = read_object(file)
    for name in ("thresholding", "clip_sample"):
        if settings.get(name):
            raise ImportRefused(
                f"{file}: {name} is true, which no table of numbers can hold: expected false; set "
                "it to false where the model was made without it"
            )
    if (problem := config_problem(settings, SCHEDULER_RULES)) is not None:
        raise ImportRefused(f"{file}: {problem}")
    check_noise_class(file, settings)
    if settings.get("rescale_betas_zero_snr") and settings.get("prediction_type") == "epsilon":
        raise ImportRefused(
            f"{file}: epsilon with rescale_betas_zero_snr: no signal is left at the last timestep, "
            "so that no sample follows from the noise: expected v_prediction, or "
            "rescale_betas_zero_snr false"
        )
    return {"clip_sample": False, "thresholding": False, **settings}


def _module(kind: Any, config: Mapping[str, Any], folder: Path) -> Any:
    if (problem := config_problem(config)) is not None:
        raise BadUNetFolder(folder / "config.json", problem, "correct it, or copy the folder again")
    try:
        with torch.device("meta"):
            module = kind.from_config(public_config(config))
    except BUILD_ERRORS as error:
        found = first_line(error)
        raise BadUNetFolder(
            folder / "config.json", f"diffusers cannot build it: {found}"
        ) from error
    module.load_state_dict(read_weights(folder, module), assign=True)
    return module.eval()


def _dtype_name(module: nn.Module) -> str:
    return str(next(module.parameters()).dtype).removeprefix("torch.")
