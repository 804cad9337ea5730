"""Read and write an identity as one small file, without pickle.

The layout is that of safetensors, so that other tools can open it: eight bytes with the header's
length (little-endian), a JSON header that names each array's type, shape and place, then the bytes
of the arrays. What made the file stands in `__metadata__`: the bundle's hash, the photos' names,
the hash of the arrays.

Source: "Safetensors: Format", in the README of huggingface/safetensors.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from edgeswap_runtime.errors import BadIdentity, InvalidRequest, OutputExists
from edgeswap_runtime.files import canonical_json, read_regular, require_name, write_bytes
from edgeswap_runtime.strict_json import JsonError, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SUFFIX = ".identity"
MAX_BYTES = 64_000_000
"""Longest file that is read; the packaged student's identities have 0.1 MB."""
SCHEMA = 1
_KIND = "edgeswap identity"
_MAX_ARRAYS = 64
_MAX_DIMENSIONS = 8
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredIdentity:
    """What an identity file holds.

    Attributes:
        arrays: name -> float32 array, what the bundle's denoiser needs of the source.
        bundle_sha256: `manifest_sha256` of the bundle that read the identity.
        software: what wrote the file.
        photos: file names of the photos it was read from, without their folders.
    """

    arrays: Mapping[str, NDArray[np.float32]]
    bundle_sha256: str
    software: str
    photos: Sequence[str] = ()


def is_identity_file(path: object) -> bool:
    """Return whether a path names an identity file: by its suffix, whether it exists or not."""
    return isinstance(path, str | Path) and Path(path).suffix.lower() == SUFFIX


def require_identity_path(path: Path, *, overwrite: bool) -> None:
    """Check the path of a new identity file before any work is done.

    Raises:
        InvalidRequest: it does not end in .identity, or its folder is missing.
        OutputExists: it is taken, and `overwrite` is False.
    """
    require_name(path)
    if not is_identity_file(path):
        raise InvalidRequest(f"cannot write {path}: expected a name ending in {SUFFIX}")
    if not path.parent.is_dir():
        raise InvalidRequest(
            f"cannot write {path}: there is no folder {path.parent}, make it first"
        )
    if path.is_dir() or (path.exists() and not overwrite):
        raise OutputExists(path, "name another path, or add --overwrite")


def write_identity(path: Path, stored: StoredIdentity, *, overwrite: bool = False) -> None:
    """Write an identity file, whole or not at all.

    Args:
        path: ends in .identity.
        stored: what it is to hold.
        overwrite: replace an existing file.

    Raises:
        InvalidRequest: no such name or folder, or an array is not float32 and finite.
        OutputExists: the path is taken.
    """
    require_identity_path(path, overwrite=overwrite)
    write_bytes(path, encode_identity(stored))


def encode_identity(stored: StoredIdentity) -> bytes:
    """Return the bytes of an identity file; the same identity gives the same bytes."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    place = 0
    for name, array in sorted(stored.arrays.items()):
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise InvalidRequest(f"the identity's {name} are not finite float32")
        part = np.ascontiguousarray(array, dtype="<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [place, place + len(part)],
        }
        parts.append(part)
        place += len(part)
    data = b"".join(parts)
    header["__metadata__"] = {
        "kind": _KIND,
        "schema": str(SCHEMA),
        "bundle_sha256": stored.bundle_sha256,
        "software": stored.software,
        "photos": canonical_json(list(stored.photos)).decode(),
        "data_sha256": hashlib.sha256(data).hexdigest(),
    }
    text = canonical_json(header)
    text += b" " * (-len(text) % 8)  # the arrays begin at a multiple of eight bytes
    return _LENGTH.pack(len(text)) + text + data


def read_identity(path: Path, *, bundle_sha256: str | None = None) -> StoredIdentity:
    """Read an identity file and check all of it.

    Args:
        path: the file.
        bundle_sha256: `manifest_sha256` of the bundle that is to use it; not compared when None.

    Raises:
        BadIdentity: there is no such file, it is damaged or none, or another bundle's.
        OSError: as the system reports it.
    """
    try:
        raw = read_regular(path, MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise BadIdentity(path, "there is no such file") from error
    if len(raw) > MAX_BYTES:
        raise BadIdentity(path, f"it has more than {MAX_BYTES} bytes")
    stored = _decode(path, raw)
    if bundle_sha256 is not None and stored.bundle_sha256 != bundle_sha256:
        raise BadIdentity(
            path,
            f"it was read with the bundle {stored.bundle_sha256[:12]}, this one is "
            f"{bundle_sha256[:12]}",
        )
    return stored


def _decode(path: Path, raw: bytes) -> StoredIdentity:
    start = _LENGTH.size
    length = _LENGTH.unpack(raw[:start])[0] if len(raw) >= start else 0
    if not 2 <= length <= len(raw) - start:
        raise BadIdentity(path, "it is no such file, or cut short")
    try:
        header = parse_json(raw[start : start + length])
    except JsonError as error:
        raise BadIdentity(path, f"its header is no JSON ({error})") from error
    notes = header.pop("__metadata__", None) if isinstance(header, dict) else None
    if not isinstance(notes, dict) or notes.get("kind") != _KIND:
        raise BadIdentity(path, f"its header does not say '{_KIND}'")
    if notes.get("schema") != str(SCHEMA):
        raise BadIdentity(
            path, f"its schema is {notes.get('schema')}, this edgeswap reads {SCHEMA}"
        )
    data = raw[start + length :]
    if hashlib.sha256(data).hexdigest() != notes.get("data_sha256"):
        raise BadIdentity(path, "its arrays differ from their recorded hash")
    if not 1 <= len(header) <= _MAX_ARRAYS:
        raise BadIdentity(path, f"it holds {len(header)} arrays, expected 1 to {_MAX_ARRAYS}")
    return StoredIdentity(
        arrays={name: _array(path, name, entry, data) for name, entry in header.items()},
        bundle_sha256=str(notes.get("bundle_sha256", "")),
        software=str(notes.get("software", "")),
        photos=_names(path, notes.get("photos", "[]")),
    )


def _names(path: Path, text: object) -> tuple[str, ...]:
    try:
        names = parse_json(str(text).encode())
    except JsonError as error:
        raise BadIdentity(path, f"its list of photos is no JSON ({error})") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadIdentity(path, "its photos are no list of names")
    return tuple(names)


def _array(path: Path, name: str, entry: object, data: bytes) -> NDArray[np.float32]:
    """Cut one array out of the data; its type, shape and place must fit each other."""
    stated = entry if isinstance(entry, dict) else {}
    shape, offsets = stated.get("shape"), stated.get("data_offsets")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise BadIdentity(path, f"{name}: its shape or place is not stated")
    low, high = offsets
    if stated.get("dtype") != "F32" or high > len(data) or high - low != 4 * math.prod(shape):
        raise BadIdentity(path, f"{name}: type, shape and place do not fit each other")
    array: NDArray[np.float32] = (
        np.frombuffer(data[low:high], dtype="<f4").astype(np.float32).reshape(shape)
    )
    if not np.isfinite(array).all():
        raise BadIdentity(path, f"{name}: it holds what is no finite number")
    return array


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    """Whether a value is a list of whole numbers from 0, as many as arrays have dimensions."""
    return (
        isinstance(value, list)
        and len(value) <= _MAX_DIMENSIONS
        and all(type(n) is int and n >= 0 for n in value)
    )
