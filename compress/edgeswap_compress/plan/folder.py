"""Read and write U-Net folders in diffusers' layout: config.json, safetensors, pruning.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from safetensors.torch import save_file

from edgeswap_compress._pruning_errors import BadUNetFolder, UnsupportedModel
from edgeswap_compress.diffusers_folder.building import BUILD_ERRORS, first_line, public_config
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.diffusers_folder.unet_home import (
    CONFIG_NAME,
    PLAN_NAME,
    read_object,
    read_unet_config,
    unet_home,
)
from edgeswap_compress.diffusers_folder.weights import WEIGHTS_NAME, read_weights
from edgeswap_compress.plan.apply import apply_plan
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_runtime.files import new_folder, write_json

__all__ = [
    "CLASSES",
    "CONFIG_NAME",
    "PLAN_NAME",
    "UNetFolder",
    "empty_unet",
    "load_unet",
    "read_unet_folder",
    "unet_home",
    "write_unet_folder",
]

CLASSES: dict[str, type[Any]] = {
    "UNet2DConditionModel": UNet2DConditionModel,
    "UNet2DModel": UNet2DModel,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetFolder:
    """A U-Net that was read from a folder.

    Attributes:
        unet: in evaluation mode, pruned where there is a plan; its config is the original one.
        plan: what was pruned, or None.
    """

    unet: Any
    plan: PruningPlan | None = None


def load_unet(folder: Path | str, *, dtype: torch.dtype | None = torch.float32) -> Any:
    """Load the U-Net of a folder, ready to run; a pruned one needs nothing but its folder.

    Args:
        folder: what `edgeswap prune` or diffusers wrote: a U-Net's own folder, or one that holds
            it as `unet/` (a pipeline, a swap checkpoint). Weights are safetensors in one file, in
            several with an index, or in one variant such as fp16; pickles are never read.
        dtype: of the weights in memory. None leaves them as they are on disk, where they stay
            until they are used.

    Raises:
        BadUNetFolder: a file is missing or damaged, or a tensor's name or shape is not what config
            and plan say.
        UnsupportedModel: config.json is that of another kind of model.
        BadPlan: pruning.json is malformed or does not fit the config.
    """
    return read_unet_folder(folder, dtype=dtype).unet


def read_unet_folder(folder: Path | str, *, dtype: torch.dtype | None = None) -> UNetFolder:
    """Load the U-Net of a folder with its plan; see `load_unet`."""
    home = unet_home(Path(folder))
    unet = empty_unet(home / CONFIG_NAME)
    _require_runs(unet, home / CONFIG_NAME)
    plan = None
    if (home / PLAN_NAME).exists():
        plan = PruningPlan.from_json(read_object(home / PLAN_NAME))
        apply_plan(unet, plan)
    state = read_weights(home, unet)
    if dtype is not None:
        # Copied even where the dtype is right: products of matrices that lie in a mapped file at
        # odd addresses may round otherwise than those of the U-Net that was saved.
        state = {
            k: v.to(dtype, copy=True) if v.is_floating_point() else v for k, v in state.items()
        }
    unet.load_state_dict(state, strict=True, assign=True)
    for name, buffer in unet.named_buffers():
        if buffer.is_meta:
            raise UnsupportedModel(f"{name} is not stored in weights files, so it cannot be loaded")
    return UNetFolder(unet=unet.eval(), plan=plan)


def write_unet_folder(folder: Path | str, unet: Any, plan: PruningPlan | None) -> Path:
    """Write a U-Net's folder, atomically, its weights in the dtype they have.

    Args:
        folder: must not exist.
        unet: a diffusers U-Net, pruned by `plan` if there is one.
        plan: written beside the weights; `load_unet` replays it.

    Raises:
        OutputExists: the folder exists.
    """
    public = public_config(unet.config)
    tensors = {name: tensor.detach().contiguous() for name, tensor in unet.state_dict().items()}
    with new_folder(Path(folder)) as partial:
        write_json(partial / CONFIG_NAME, {"_class_name": type(unet).__name__, **public})
        if plan is not None:
            write_json(partial / PLAN_NAME, plan.to_json())
        weights = partial / WEIGHTS_NAME
        save_file(tensors, weights, {"format": "pt"})
        weights.chmod((partial / CONFIG_NAME).stat().st_mode)  # safetensors makes it private
    return Path(folder)


def empty_unet(path: Path) -> Any:
    """Build the U-Net of a config.json, on the meta device.

    Raises:
        BadUNetFolder, UnsupportedModel: see `load_unet`.
    """
    config = read_unet_config(path)
    name = str(config["_class_name"])
    kind = CLASSES[name]
    try:
        with torch.device("meta"):
            return kind.from_config(public_config(config))
    except BUILD_ERRORS as error:
        raise BadUNetFolder(
            path, f"diffusers cannot build a {name} from it: {first_line(error)}"
        ) from error


@torch.no_grad()
def _require_runs(unet: Any, path: Path) -> None:
    """Values may be within their bounds and still not go together; then one evaluation says so."""
    try:
        unet.eval()(**example_inputs(unet.config))
    except BUILD_ERRORS as error:
        raise UnsupportedModel(
            f"{path}: diffusers builds this {type(unet).__name__} but cannot evaluate it: "
            f"{first_line(error)}; correct the config, or copy the folder again"
        ) from error
