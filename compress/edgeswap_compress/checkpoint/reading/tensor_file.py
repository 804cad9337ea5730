"""Read and write a checkpoint's safetensors files, every tensor checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.diffusers_folder.weights import is_finite
from edgeswap_compress.errors import InvalidCheckpoint


def tensors_for_disk(module: nn.Module, swap: SwapConfig) -> dict[str, torch.Tensor]:
    """Give a module's tensors in the dtype that a checkpoint stores."""
    dtype = getattr(torch, swap.weights_dtype)
    state = {}
    for name, tensor in module.state_dict().items():
        value = tensor.detach().cpu()
        if value.is_floating_point():
            value = value.to(dtype)
        state[name] = value.contiguous(memory_format=torch.contiguous_format)
    return state


def read_tensors(
    path: Path, expected: Mapping[str, tuple[int, ...] | None], dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Read a safetensors file whose names, shapes and dtype must be exactly the expected ones.

    Args:
        path: of the file.
        expected: name -> shape; None where any shape will do.
        dtype: of every floating tensor.

    Raises:
        InvalidCheckpoint: a tensor is missing, unknown, of another form, or not finite.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            if missing := sorted(set(expected) - names):
                raise InvalidCheckpoint(f"{path}: tensors", expected=missing[0], found="none")
            if unknown := sorted(names - set(expected)):
                raise InvalidCheckpoint(f"{path}: tensors", expected="none", found=unknown[0])
            tensors = {name: file.get_tensor(name) for name in sorted(names)}
    except FileNotFoundError as error:
        raise InvalidCheckpoint(str(path), expected="a weights file", found="no file") from error
    except SafetensorError as error:
        raise InvalidCheckpoint(str(path), expected="safetensors", found=error) from error
    for name, tensor in tensors.items():
        shape = expected[name]
        if shape is not None and tuple(tensor.shape) != shape:
            raise InvalidCheckpoint(
                f"{path}: {name}: shape", expected=shape, found=tuple(tensor.shape)
            )
        if tensor.is_floating_point() and tensor.dtype != dtype:
            raise InvalidCheckpoint(f"{path}: {name}: dtype", expected=dtype, found=tensor.dtype)
        if not is_finite(tensor):
            raise InvalidCheckpoint(f"{path}: {name}", expected="numbers", found="NaN or infinity")
    return tensors
