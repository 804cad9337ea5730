"""Read and write the files that a checkpoint's conditions name."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from edgeswap_compress.checkpoint.reading.tensor_file import read_tensors
from edgeswap_compress.checkpoint.reading.trial_pass import build
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.conditioning.projections import PROJECTIONS
from edgeswap_compress.conditioning.specs import (
    ConstantAddedSpec,
    ConstantTokensSpec,
    PluginSpec,
    ProjectionSpec,
)
from edgeswap_compress.diffusers_folder.building import public_config
from edgeswap_compress.diffusers_folder.weights import WEIGHTS_NAME
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_runtime.files import write_bytes
from edgeswap_runtime.strict_json import JsonError, read_json_object

CONSTANTS: dict[type[Any], tuple[str, ...]] = {
    ConstantTokensSpec: ("tokens", "null_tokens"),
    ConstantAddedSpec: ("text_embeds", "time_ids", "null_text_embeds", "null_time_ids"),
}
"""Kind of condition -> the tensors of its file, float32."""


def read_parts(folder: Path, swap: SwapConfig, dtype: torch.dtype) -> dict[str, Any]:
    """Read what conditions name: path in the folder -> tensors, module, file or folder.

    Args:
        folder: of the checkpoint.
        swap: its config.
        dtype: of projections in memory.

    Raises:
        InvalidCheckpoint: a file is missing, or does not hold what it must.
    """
    parts: dict[str, Any] = {}
    for spec in swap.conditions:
        if isinstance(spec, ConstantTokensSpec | ConstantAddedSpec):
            names = dict.fromkeys(CONSTANTS[type(spec)])
            tensors = read_tensors(folder / spec.file, names, torch.float32)
            parts[spec.file] = _checked_constants(folder / spec.file, tensors)
        elif isinstance(spec, ProjectionSpec):
            parts[spec.folder] = _projection(folder / spec.folder, swap, dtype)
            _check_projection(folder / spec.folder, spec, swap, parts[spec.folder].config)
            for feature in spec.features:
                parts[feature.file] = _file(folder / feature.file)
        elif isinstance(spec, PluginSpec):
            parts[spec.folder] = _folder(folder / spec.folder)
    return parts


def write_part(target: Path, part: Any) -> None:
    """Write a part that is no module; modules are written with the checkpoint's own.

    Args:
        target: where it goes.
        part: a dict of tensors, or the place of a file or folder.
    """
    if isinstance(part, nn.Module):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(part, Mapping):
        tensors = {name: value.float().contiguous().clone() for name, value in part.items()}
        write_bytes(target, save(tensors, {"format": "pt"}))
    elif Path(part).is_dir():
        shutil.copytree(part, target)
    else:
        shutil.copyfile(part, target)


def _checked_constants(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Check that each constant is of one sample, and its null one of the same width."""
    for name, value in tensors.items():
        if not name.startswith("null_"):
            other = tensors[f"null_{name}"]
            widths = {value.shape[-1], other.shape[-1]}
            if {len(value), len(other)} != {1} or value.ndim != other.ndim or len(widths) > 1:
                found = f"{tuple(value.shape)} and {tuple(other.shape)}"
                expected = "two of one sample and one width"
                raise InvalidCheckpoint(
                    f"{path}: {name}, null_{name}", expected=expected, found=found
                )
    return tensors


def _projection(folder: Path, swap: SwapConfig, dtype: torch.dtype) -> Any:
    where = folder / "config.json"
    try:
        raw = read_json_object(where)
    except OSError as error:
        raise InvalidCheckpoint(str(where), expected="a JSON file", found="no file") from error
    except JsonError as error:
        raise InvalidCheckpoint(str(where), expected="valid JSON", found=str(error)) from error
    name = raw.get("_class_name")
    if name not in PROJECTIONS:
        known = f"one of {sorted(PROJECTIONS)}"
        raise InvalidCheckpoint(f"{where}: _class_name", expected=known, found=name)
    with torch.device("meta"):
        module = build(PROJECTIONS[str(name)].from_config, public_config(raw), where)
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    tensors = read_tensors(folder / WEIGHTS_NAME, expected, getattr(torch, swap.weights_dtype))
    module.load_state_dict({k: v.to(dtype) for k, v in tensors.items()}, strict=True, assign=True)
    return module.eval()


def _check_projection(folder: Path, spec: ProjectionSpec, swap: SwapConfig, config: Any) -> None:
    """Check that a projection gives what swap.json says."""
    where = f"{folder / 'config.json'}: "
    if spec.gives == "adapter_tokens" and config.tokens != swap.attention.tokens:
        raise InvalidCheckpoint(
            f"{where}tokens", expected=f"the {swap.attention.tokens} adapter tokens of swap.json",
            found=config.tokens,
        )  # fmt: skip
    if spec.null == "learned" and not config.null:
        expected = "true, because swap.json says that guidance takes what was learned"
        raise InvalidCheckpoint(f"{where}null", expected=expected, found=config.null)


def _file(path: Path) -> Path:
    if not path.is_file():
        raise InvalidCheckpoint(str(path), expected="an ONNX file", found="no file")
    return path


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise InvalidCheckpoint(str(path), expected="a folder", found="none")
    return path
