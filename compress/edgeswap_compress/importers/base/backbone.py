"""Read the base model: U-Net, autoencoder and noise schedule, of a folder or of one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import nn

from edgeswap_compress._pruning_errors import BadUNetFolder
from edgeswap_compress.diffusers_folder.building import BUILD_ERRORS, first_line, public_config
from edgeswap_compress.diffusers_folder.config import SCHEDULER_RULES, config_problem
from edgeswap_compress.diffusers_folder.unet_home import read_object, read_unet_config
from edgeswap_compress.diffusers_folder.weight_files import weight_files
from edgeswap_compress.diffusers_folder.weights import read_weights
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

SD_SCALING = 0.18215

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
        scaling_factor: of its latents: normalized = latents times this.
        path: folder or file it was read from.
        files: weights files, for their hashes.
        dtype: dtype of the U-Net on disk, a name.
    """

    unet: Any
    vae: Any
    scheduler: Mapping[str, Any]
    scaling_factor: float
    path: Path
    files: tuple[Path, ...]
    dtype: str


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


def read_base(path: Path, *, heads: int | None = None) -> Backbone:
    """Read a base model's weights.

    Args:
        path: diffusers pipeline folder, or one file of latent diffusion's code.
        heads: see `read_ldm_unet`; for files alone.

    Raises:
        ImportRefused, BadFolder, PruningError: it is no base model that can be imported.
    """
    if path.is_file():
        tensors = read_tensors(path)
        unet = read_ldm_unet(path, tensors, heads=heads)
        dtype = _dtype_name(unet)
        vae = read_ldm_vae(path, tensors, SD_SCALING).float()
        return Backbone(unet.float(), vae, SD_SCHEDULER, SD_SCALING, path, (path,), dtype)
    config = check_base(path)
    unet = _module(UNet2DConditionModel, config, path / "unet")
    vae_config = read_object(path / "vae" / "config.json")
    vae = _module(AutoencoderKL, vae_config, path / "vae")
    dtype = _dtype_name(unet)
    return Backbone(
        unet=nn.Module.float(unet),
        vae=nn.Module.float(vae),
        scheduler=read_scheduler(path),
        scaling_factor=float(vae.config.scaling_factor),
        path=path,
        files=(*weight_files(path / "unet"), *weight_files(path / "vae")),
        dtype=dtype,
    )


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
        ImportRefused: the schedule thresholds or clips samples, or predicts another thing.
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
