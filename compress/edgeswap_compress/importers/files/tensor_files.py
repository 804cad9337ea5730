"""Read tensors from files of other people without running anything that is in them."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from edgeswap_compress.diffusers_folder.building import first_line
from edgeswap_compress.diffusers_folder.weights import is_finite
from edgeswap_compress.importers.errors import CodeInPickle, PartMissing, UnreadableWeights

SAFETENSORS = (".safetensors", ".sft")
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
_WRAPPERS = ("state_dict", "module", "model")
"""Entries under which trainers put the tensors, beside their own state."""

_GLOBAL = re.compile(r"(?:GLOBAL|class) ([\w.]+(?: \w+(?= whose))?)")
"""The class or function that torch refuses to run, in its message."""


def require_file(path: Path, *, option: str) -> Path:
    """Make sure that a file is there, before any work.

    Raises:
        PartMissing: it is not.
    """
    if path.is_file():
        return path
    found = "a folder" if path.is_dir() else "nothing"
    raise PartMissing(f"{option} {path}: expected a file, found {found}")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file's tensors under flat names, mapped from the disk where the format allows.

    Nested mappings become one name with dots; numbers and texts beside the tensors are left out.

    Args:
        path: safetensors, or a pickle as torch writes it.

    Raises:
        PartMissing: there is no such file.
        CodeInPickle: a pickle holds anything but tensors, numbers, texts, lists and mappings.
        UnreadableWeights: no tensors, a damaged file, NaN or infinite values.
    """
    if not path.is_file():
        raise PartMissing(f"{path}: expected a weights file, found nothing")
    if path.suffix in SAFETENSORS:
        tensors = _safetensors(path)
    elif path.suffix in PICKLES:
        tensors = dict(_flat(_unwrapped(_pickled(path))))
    else:
        expected = f"one of {', '.join((*SAFETENSORS, *PICKLES))}"
        raise UnreadableWeights(path, expected=expected, found=path.suffix or "no ending")
    if not tensors:
        raise UnreadableWeights(path, expected="tensors", found="none")
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            raise UnreadableWeights(path, expected="numbers", found=f"NaN or infinity in {name}")
    return tensors


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take the tensors whose names begin with a prefix, without it."""
    cut = len(prefix)
    return {name[cut:]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UnreadableWeights(path, expected="safetensors", found=str(error)) from error


def _pickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's protocol; an error says it better
            return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:
        named = _GLOBAL.search(str(error))
        what = named[1].replace(" ", ".") if named else "a pickle that torch did not write"
        raise CodeInPickle(path, what) from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        found = f"another file ({type(error).__name__}: {first_line(error)})"
        raise UnreadableWeights(path, expected="a file of torch.save", found=found) from error


def _is_zip(path: Path) -> bool:
    """Torch maps its newer format from the disk, and reads the older one whole."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _unwrapped(loaded: Any) -> Any:
    while isinstance(loaded, Mapping):
        inner = next((loaded[w] for w in _WRAPPERS if isinstance(loaded.get(w), Mapping)), None)
        if inner is None:
            break
        loaded = inner
    return loaded


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(values, Tensor):
        yield prefix.removesuffix("."), values
    elif isinstance(values, Mapping):
        for name, value in values.items():
            yield from _flat(value, f"{prefix}{name}.")
