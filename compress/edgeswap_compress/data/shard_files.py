"""One shard as a file: write it, map it, read what its header says of its scenes.

What a shard holds: `edgeswap_compress.data.shards`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save

from edgeswap_compress.errors import DatasetDamaged
from edgeswap_runtime.files import canonical_json, write_bytes
from edgeswap_runtime.strict_json import JsonError, parse_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeswap_compress.data.grid import Group

_DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype("u1"), "F32": np.dtype("<f4")}
_MAX_HEADER_BYTES = 1 << 20


def shard_name(index: int) -> str:
    """Name the file of a shard."""
    return f"shard-{index:05d}.safetensors"


def write_shard(path: Path, groups: Sequence[Group]) -> None:
    """Write a shard whole, or not at all."""
    tensors: dict[str, NDArray[Any]] = {
        "landmarks": np.stack([group.landmarks for group in groups]).astype("<f4"),
        "images": np.stack([group.images for group in groups]),
        "masks": np.stack([group.masks for group in groups]),
    }
    metadata = None
    if groups[0].occluders is not None:
        tensors["occluders"] = np.stack([g.occluders for g in groups if g.occluders is not None])
        scenes = canonical_json([list(group.scenes) for group in groups]).decode()
        metadata = {"scenes": scenes}
    write_bytes(path, save(tensors, metadata))


def map_shard(path: Path) -> dict[str, NDArray[Any]]:
    """Map the tensors of a shard as read-only views of the file.

    Raises:
        DatasetDamaged: the file is missing, or its header does not describe its bytes.
    """
    length, header = _read_header(path)
    total = path.stat().st_size
    tensors: dict[str, NDArray[Any]] = {}
    try:
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            dtype, shape = _DTYPES[entry["dtype"]], tuple(int(n) for n in entry["shape"])
            start, end = (8 + length + int(n) for n in entry["data_offsets"])
            bytes_needed = math.prod(shape) * dtype.itemsize
            inside = 8 + length <= start <= end <= total
            if min(shape, default=0) < 1 or end - start != bytes_needed or not inside:
                found = f"{total} bytes and a header that asks for {end}"
                raise DatasetDamaged(path, expected=f"{bytes_needed} bytes of {name}", found=found)
            tensors[name] = np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DatasetDamaged):
            raise
        raise DatasetDamaged(path, expected="a shard's header", found="something else") from error
    if missing := {"images", "masks", "landmarks"} - tensors.keys():
        raise DatasetDamaged(path, expected=", ".join(sorted(missing)), found="no such tensor")
    return tensors


def read_scenes(path: Path) -> list[list[dict[str, Any]]]:
    """What a shard's header says of its groups' scenes; empty lists before version 4.

    Raises:
        DatasetDamaged: it is not a list for each group.
    """
    _, header = _read_header(path)
    groups = int(header["images"]["shape"][0])
    try:
        text = header.get("__metadata__", {}).get("scenes")
        scenes = [[] for _ in range(groups)] if text is None else parse_json(text.encode())
    except (TypeError, ValueError, AttributeError, JsonError) as error:
        raise DatasetDamaged(path, expected="scenes in its header", found="no JSON") from error
    if not isinstance(scenes, list) or len(scenes) != groups:
        raise DatasetDamaged(path, expected=f"scenes of {groups} groups", found="another number")
    return scenes


def _read_header(path: Path) -> tuple[int, dict[str, Any]]:
    """Length in bytes and content of a shard's header."""
    if not path.is_file():
        raise DatasetDamaged(path, expected="a shard", found="no file")
    total = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER_BYTES, total - 8):
            raise DatasetDamaged(path, expected="a safetensors header", found=f"{length} bytes")
        raw = file.read(length)
    try:
        header = parse_json(raw)
    except JsonError as error:
        raise DatasetDamaged(path, expected="a shard's header", found="something else") from error
    if not isinstance(header, dict):
        raise DatasetDamaged(path, expected="a shard's header", found="something else")
    return length, header
