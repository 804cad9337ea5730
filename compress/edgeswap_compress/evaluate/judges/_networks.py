"""The judges' networks: files checked by hash, sessions of ONNX Runtime."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_compress.data.assets import asset
from edgeswap_compress.errors import AssetDamaged
from edgeswap_runtime.faces.align import warp
from edgeswap_runtime.files import canonical_json

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def checked_file(package: str, name: str, sha256: str, cache_dir: Path | None) -> bytes:
    """Find a file of a fetched package, of this sha256 and no other.

    Args:
        package: a key of `edgeswap_compress.data.assets.PACKAGES`.
        name: of the file in it.
        sha256: 64 hex digits.
        cache_dir: where packages lie; the usual place when None.

    Raises:
        AssetMissing: the package has not been fetched.
        AssetDamaged: the file is missing or another one.
    """
    file = asset(package, cache_dir) / name
    if not file.is_file():
        raise AssetDamaged(package, expected=name, found="no such file")
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise AssetDamaged(package, expected=f"{name} of sha256 {sha256}", found=digest)
    return data


def judge_sha256(
    name: str, file_hashes: dict[str, str], size_px: int, landmarks_px: NDArray[np.float64]
) -> str:
    """Hash all that decides a judge's answers: its files, and how its chips are cut.

    Args:
        name: of the network.
        file_hashes: name -> sha256 of each of its files.
        size_px: side of a chip.
        landmarks_px: (5, 2) where a chip has the eyes, the nose and the mouth's corners.
    """
    recipe = {
        "name": name,
        "files": file_hashes,
        "chip_px": size_px,
        "landmarks_px": landmarks_px.round(6).tolist(),
    }
    return hashlib.sha256(canonical_json(recipe)).hexdigest()


def open_session(network: bytes, threads: int | None) -> Any:
    """Open an ONNX Runtime session on the CPU; its own choice of threads when None."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def chips(crops: NDArray[np.uint8], matrix: NDArray[np.float64], size_px: int) -> NDArray[np.uint8]:
    """Warp crops (N, R, R, 3) to (N, size, size, 3) uint8 RGB, all by one (2, 3) matrix.

    A matrix of its own for every crop would undo what a swap did to the face; what a chip shows
    beyond the crop is the crop's border, repeated.
    """
    return np.stack([warp(crop, matrix, size_px) for crop in crops])
