"""Load and save checkpoint folders: diffusers' layout plus ``swap.json``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    DDIMScheduler,
    UNet2DConditionModel,
)
from safetensors.torch import save
from torch import nn

from edgeswap_compress._pruning_errors import HasCompanion
from edgeswap_compress.autoencoders.target_overlay import TargetOverlay
from edgeswap_compress.checkpoint.denoiser import SwapDenoiser
from edgeswap_compress.checkpoint.reading.consistency import check_fit
from edgeswap_compress.checkpoint.reading.parts import read_parts, write_part
from edgeswap_compress.checkpoint.reading.tensor_file import read_tensors, tensors_for_disk
from edgeswap_compress.checkpoint.reading.trial_pass import build, require_overlay, require_pass
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.conditioning.attention import install_attention
from edgeswap_compress.conditioning.source import SourceConditioner
from edgeswap_compress.diffusers_folder.building import public_config
from edgeswap_compress.diffusers_folder.companions import companion_message, companion_of
from edgeswap_compress.diffusers_folder.config import check_noise_class
from edgeswap_compress.diffusers_folder.unet_home import PLAN_NAME
from edgeswap_compress.diffusers_folder.weights import WEIGHTS_NAME
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_compress.plan.apply import apply_plan
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_runtime.files import new_folder, require_folder, sha256_file, write_bytes, write_json
from edgeswap_runtime.strict_json import JsonError, read_json

SWAP_NAME = "swap.json"
MODULES: dict[str, type[Any]] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "conditioner": SourceConditioner,
}
"""Folder -> what it holds, unless its config names one of ``OTHER_KINDS``."""

OVERLAY = "overlay"
"""Folder of the network that lays the swap over the target; most checkpoints have none."""

OTHER_KINDS: dict[tuple[str, Any], type[Any]] = {("vae", "AutoencoderTiny"): AutoencoderTiny}

CONTROLNET = "controlnet"
SCHEDULER_FILE = Path("scheduler") / "scheduler_config.json"


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """A swap model in memory.

    Attributes:
        unet: denoiser; its config is the unpruned one where ``plan`` is not None.
        vae: autoencoder of pictures, or of space-to-depth pictures: an AutoencoderKL, or an
            AutoencoderTiny whose own latents are the normalized ones.
        conditioner: source encoder, where ``swap.conditions`` has one; else None.
        scheduler: noise schedule and prediction type the denoiser was trained with, as DDIM.
        swap: everything diffusers' configs do not say.
        plan: what was pruned from the U-Net, or None.
        controlnet: beside the U-Net, where ``swap.controlnet`` states one; else None.
        parts: path in the folder -> what a condition names: a dict of tensors (.safetensors), the
            place of a file (.onnx), a projection module or a plugin's folder.
        overlay: what makes crop and alpha of the decoded crop and the target, or None.
        scheduler_config: scheduler_config.json as it was read, complete; None writes the
            scheduler's own.
    """

    unet: Any
    vae: Any
    conditioner: Any
    scheduler: Any
    swap: SwapConfig
    plan: PruningPlan | None = None
    controlnet: Any = None
    overlay: TargetOverlay | None = None
    parts: dict[str, Any] = field(default_factory=dict)
    scheduler_config: Mapping[str, Any] | None = None

    def modules(self) -> dict[str, Any]:
        """List the modules with weights, by the folder they are stored in."""
        named = {name: getattr(self, name) for name in (*MODULES, CONTROLNET, OVERLAY)}
        named |= {path: part for path, part in self.parts.items() if isinstance(part, nn.Module)}
        return {name: module for name, module in named.items() if module is not None}

    def denoiser(self) -> SwapDenoiser:
        """Give what evaluates the U-Net."""
        return SwapDenoiser(self.unet, self.swap, self.controlnet)

    @property
    def noise_settings(self) -> dict[str, Any]:
        """Give scheduler_config.json, complete, with the class that its writer sampled by."""
        if self.scheduler_config is not None:
            return dict(self.scheduler_config)
        kind = type(self.scheduler).__name__
        return {"_class_name": kind, **public_config(dict(self.scheduler.config))}

    @classmethod
    def load(cls, path: Path | str, *, dtype: torch.dtype = torch.float32) -> Checkpoint:
        """Read a checkpoint folder; nothing is used before its name, shape and dtype are checked.

        Args:
            path: folder written by ``save``.
            dtype: floating dtype of the modules in memory.

        Raises:
            BadFolder: it is no checkpoint folder.
            InvalidCheckpoint: the folder is missing a file, a tensor, holds another shape or
                NaN, or its parts do not fit together.
            HasCompanion: a ControlNet, an adapter or LoRA weights would be lost.
        """
        folder = Path(path)
        swap, _ = _read_swap(folder)
        kept = () if swap.controlnet is None else (CONTROLNET,)
        if (found := companion_of(folder, kept=kept)) is not None:
            raise HasCompanion(companion_message(folder, *found))
        plan_file = folder / "unet" / PLAN_NAME
        plan = PruningPlan.from_json(_read_json(plan_file)) if plan_file.exists() else None
        modules = {
            name: _empty_module(kind, folder / name, swap, plan if name == "unet" else None)
            for name, kind in _kinds(swap).items()
        }
        check_fit(folder, swap, {name: module.config for name, module in modules.items()})
        parts = read_parts(folder, swap, dtype)
        require_pass(folder, swap, modules, parts)
        if (folder / OVERLAY).is_dir():
            modules[OVERLAY] = _empty_module(TargetOverlay, folder / OVERLAY, swap, None)
            require_overlay(folder, swap, modules[OVERLAY])
        for name, module in modules.items():
            _fill(module, folder / name / WEIGHTS_NAME, swap, dtype)
        file = folder / SCHEDULER_FILE
        settings = _read_json(file)
        check_noise_class(file, settings)
        scheduler = build(DDIMScheduler.from_config, ddim_config(settings), file)
        return cls(
            swap=swap,
            plan=plan,
            scheduler=scheduler,
            scheduler_config=settings,
            parts=parts,
            **{"conditioner": None, **modules},
        )

    def save(self, path: Path | str) -> Path:
        """Write a new folder, atomically; saving what was loaded gives the same bytes.

        Raises:
            OutputExists: the folder exists already.
        """
        folder = Path(path)
        with new_folder(folder) as partial:
            self.write_into(partial)
        return folder

    def write_into(self, folder: Path) -> None:
        """Write the checkpoint's files into an existing folder (stages that add files use this)."""
        index: dict[str, Any] = {"_class_name": "SwapPipeline"}
        for name, module in self.modules().items():
            kind = type(module)
            target = folder / name
            target.mkdir(parents=True)
            config = {"_class_name": kind.__name__, **public_config(dict(module.config))}
            write_json(target / "config.json", config)
            tensors = save(tensors_for_disk(module, self.swap), {"format": "pt"})
            write_bytes(target / WEIGHTS_NAME, tensors)
            if name not in self.parts:
                index[name] = [kind.__module__.split(".")[0], kind.__name__]
        for name, part in self.parts.items():
            write_part(folder / name, part)
        if self.plan is not None:
            write_json(folder / "unet" / PLAN_NAME, self.plan.to_json())
        (folder / "scheduler").mkdir()
        settings = self.noise_settings
        write_json(folder / SCHEDULER_FILE, settings)
        index["scheduler"] = ["diffusers", settings["_class_name"]]
        write_json(folder / "model_index.json", index)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        hashes = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
        write_json(folder / SWAP_NAME, {**self.swap.to_json(), "files": hashes})

    def to(self, dtype: torch.dtype, device: torch.device | None = None) -> Checkpoint:
        """Convert the modules in place, channels last in memory, and move them to a device."""
        for module in self.modules().values():
            convert(module, dtype)
        return self if device is None else self.move(device)

    def move(self, device: torch.device) -> Checkpoint:
        """Move the modules in place to a device, and the constants, which keep their dtype."""
        for module in self.modules().values():
            nn.Module.to(module, device)
        for part in self.parts.values():
            if isinstance(part, dict):
                part.update({name: tensor.to(device) for name, tensor in part.items()})
        return self


def verify_checkpoint(path: Path) -> int:
    """Check the sha256 of every file of a checkpoint; returns how many there are.

    Raises:
        InvalidCheckpoint: a file is missing, altered, or not listed.
    """
    _, hashes = _read_swap(path)
    found = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    if stray := sorted(found - set(hashes) - {SWAP_NAME}):
        raise InvalidCheckpoint(str(path / stray[0]), expected="a listed file", found="a stray one")
    for name, expected in hashes.items():
        digest = sha256_file(path / name) if (path / name).is_file() else "no file"
        if digest != expected:
            raise InvalidCheckpoint(str(path / name), expected=f"sha256 {expected}", found=digest)
    return len(hashes)


def _read_swap(folder: Path) -> tuple[SwapConfig, dict[str, str]]:
    """The swap config and the hashes of the checkpoint's other files."""
    require_folder(folder, what="checkpoint", holds=SWAP_NAME, make="edgeswap train")
    raw = _read_json(folder / SWAP_NAME)
    hashes = raw.pop("files", None)
    if not isinstance(hashes, dict):
        found = type(hashes).__name__
        raise InvalidCheckpoint(f"{folder / SWAP_NAME}: files", expected="hashes", found=found)
    return SwapConfig.from_json(raw, folder / SWAP_NAME), hashes


def convert(module: Any, dtype: torch.dtype, device: torch.device | None = None) -> Any:
    """Change a module's floating dtype in place, 4-D weights channels last, and return it.

    Goes past diffusers' own ``to``, which warns at every call.

    Args:
        module: to convert.
        dtype: of its floating tensors.
        device: to move it to; None leaves it where it is.
    """
    return nn.Module.to(  # type: ignore[call-overload]
        module, device=device, dtype=dtype, memory_format=torch.channels_last
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        raw = read_json(path)
    except FileNotFoundError as error:
        raise InvalidCheckpoint(str(path), expected="a JSON file", found="no file") from error
    except JsonError as error:
        raise InvalidCheckpoint(str(path), expected="valid JSON", found=str(error)) from error
    if not isinstance(raw, dict):
        raise InvalidCheckpoint(str(path), expected="a JSON object", found=type(raw).__name__)
    return raw


def _kinds(swap: SwapConfig) -> dict[str, type[Any]]:
    """Folder -> what it holds, of the modules that a checkpoint has."""
    kinds = dict(MODULES)
    if not swap.encodes_source:
        del kinds["conditioner"]
    if swap.controlnet is not None:
        kinds[CONTROLNET] = ControlNetModel
    return kinds


def ddim_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what a DDIM scheduler reads of another scheduler's config.

    What the config leaves out has the default of the class that it names, and a class that cannot
    clip does not.

    Args:
        settings: scheduler_config.json, of one of `NOISE_CLASSES`.
    """
    kind = getattr(diffusers, str(settings["_class_name"]))
    stated = inspect.signature(kind.__init__).parameters.values()
    defaults = {p.name: p.default for p in stated if p.default is not p.empty}
    known = set(inspect.signature(DDIMScheduler.__init__).parameters)
    whole = {"clip_sample": False, "thresholding": False, **defaults, **settings}
    return {name: value for name, value in whole.items() if name in known}


def _empty_module(kind: type[Any], folder: Path, swap: SwapConfig, plan: PruningPlan | None) -> Any:
    """The module that a folder's config describes, on the meta device, pruned by the plan."""
    raw = _read_json(folder / "config.json")
    name = raw.get("_class_name")
    config = public_config(raw)
    if isinstance(name, str):
        kind = OTHER_KINDS.get((folder.name, name), kind)
    if kind is AutoencoderTiny:
        config.pop("block_out_channels", None)  # diffusers writes it and warns of reading it
    with torch.device("meta"):
        module = build(kind.from_config, config, folder / "config.json")
    if folder.name == "unet":
        install_attention(module, swap.attention)
    if plan is not None:
        apply_plan(module, plan)
    return module.eval()


def _fill(module: Any, weights: Path, swap: SwapConfig, dtype: torch.dtype) -> None:
    """Put the weights of a file into a module of the meta device."""
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    tensors = read_tensors(weights, expected, getattr(torch, swap.weights_dtype))
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors.items()}
    module.load_state_dict(state, strict=True, assign=True)
