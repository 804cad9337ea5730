"""Open the weights files of a diffusers folder, and check every tensor's name and shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from edgeswap_compress._pruning_errors import BadUNetFolder, HasCompanion
from edgeswap_compress.diffusers_folder.companions import tensor_owner
from edgeswap_compress.diffusers_folder.weight_files import WEIGHTS_NAME, weight_files

__all__ = ["WEIGHTS_NAME", "read_weights"]

# What diffusers called an attention's layers before version 0.15; old checkpoints still do.
_RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def read_weights(folder: Path, module: nn.Module) -> dict[str, torch.Tensor]:
    """Open the tensors of a module, mapped from disk: the bytes are read when they are used.

    Args:
        folder: holds one weights file, or several and an index, or one variant of either.
        module: whose state dict the names and shapes must be exactly; on the meta device.

    Raises:
        BadUNetFolder: no weights, a damaged file, or a tensor that is missing, stray or misshapen.
    """
    found: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        found |= _open(path)
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {_modern(name, expected): tensor for name, tensor in found.items()}
    if missing := sorted(set(expected) - set(found)):
        raise BadUNetFolder(folder, f"its weights lack {missing[0]}{_and_more(missing)}")
    _refuse_adapters(folder, found, expected)
    if stray := sorted(set(found) - set(expected)):
        raise BadUNetFolder(folder, f"its config has no layer for {stray[0]}{_and_more(stray)}")
    for name, tensor in found.items():
        if tuple(tensor.shape) != expected[name]:
            raise BadUNetFolder(
                folder,
                f"{name} has shape {tuple(tensor.shape)}, its config says {expected[name]}",
            )
        if not tensor.is_floating_point() or tensor.dtype.itemsize < 2:
            raise BadUNetFolder(folder, f"{name} is {tensor.dtype}, expected float weights")
        if not is_finite(tensor):
            raise BadUNetFolder(
                folder, f"{name} holds NaN or infinite values", "save the weights again"
            )
    return found


def is_finite(tensor: torch.Tensor) -> bool:
    """Tell whether no value is NaN or infinite, in one pass without a copy."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    least, most = torch.aminmax(tensor.detach())
    return bool(torch.isfinite(least) and torch.isfinite(most))


def _refuse_adapters(folder: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in sorted(set(found) - set(expected)):
        if (owner := tensor_owner(name)) is not None:
            raise HasCompanion(
                f"{folder}: its weights hold {owner} ({name}), which would be lost: expected the "
                "U-Net alone; save it without the adapter, or with LoRA weights fused into it"
            )


def _open(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise BadUNetFolder(path, f"is no safetensors file: {error}") from error


def _modern(name: str, expected: dict[str, Any]) -> str:
    """The name a tensor has today, where an old one leads to it."""
    module, _, parameter = name.rpartition(".")
    path, _, layer = module.rpartition(".")
    modern = f"{path}.{_RENAMED.get(layer, layer)}.{parameter}"
    return modern if name not in expected and modern in expected else name


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
