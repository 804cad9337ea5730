"""Judge of identity: dlib's face recognizer, which no part of a swap model has seen.

Two pictures show one person, by dlib's own rule, where their embeddings are less than 0.6 apart
(Euclidean). That threshold belongs to photographs of real people aligned by dlib's own landmarks;
rendered people lie closer together, so evaluation compares and ranks distances and never applies
it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgeswap_compress.evaluate.judges._networks import (
    checked_file,
    chips,
    judge_sha256,
    open_session,
)
from edgeswap_runtime.faces.align import similarity

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

NAME = "dlib_face_recognition_resnet_model_v1"
_ASSET = "face-api"
_FILES = {
    "model/face_recognition_model.bin": (
        "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589"
    ),
    "model/face_recognition_model-weights_manifest.json": (
        "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b"
    ),
}
_CHIP_PX = 150
_PADDING = 0.25
_MEAN_FACE = np.array(
    [
        [(0.121737 + 0.187122 + 0.265825 + 0.334606 + 0.260918 + 0.182743) / 6,
         (0.216423 + 0.178758 + 0.179852 + 0.231733 + 0.245099 + 0.244077) / 6],
        [(0.645647 + 0.714428 + 0.793132 + 0.858516 + 0.79751 + 0.719335) / 6,
         (0.231733 + 0.179852 + 0.178758 + 0.216423 + 0.244077 + 0.245099) / 6],
        [0.490127, 0.515625],
        [0.254149, 0.780233],
        [0.726104, 0.780233],
    ]
)  # fmt: skip
"""Our five landmarks on dlib's mean face: the centers of its eye points 36-41 and 42-47, nose tip
30, mouth corners 48 and 54. Source: dlib, `image_transforms/interpolation.h`,
get_face_chip_details."""

CHIP_LANDMARKS_PX = (_MEAN_FACE + _PADDING) / (1 + 2 * _PADDING) * _CHIP_PX
"""(5, 2) where the landmarks lie in the 150 px chip that dlib's network was trained on."""


class Judge(Protocol):
    """Judge of identity: the nearer two embeddings, the likelier one person."""

    @property
    def name(self) -> str:
        """Give its name."""

    @property
    def sha256(self) -> str:
        """Hash everything that decides its embeddings."""

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed aligned crops (N, R, R, 3) uint8 RGB: (N, D)."""


class DlibJudge:
    """dlib's network on ONNX Runtime, CPU.

    Args:
        landmarks_px: (5, 2) alignment template of the crops it will see.
        cache_dir: where assets lie; the usual place when None.
        threads: of ONNX Runtime; its own choice when None.
        batch_size: chips per run.

    Raises:
        AssetMissing: face-api has not been fetched.
        AssetDamaged: its files are not the expected ones.
    """

    name = NAME

    def __init__(
        self,
        landmarks_px: ArrayLike,
        *,
        cache_dir: Path | None = None,
        threads: int | None = None,
        batch_size: int = 16,
    ) -> None:
        from edgeswap_compress.evaluate.judges._dlib_network import build_network, read_weights

        self._matrix = similarity(landmarks_px, CHIP_LANDMARKS_PX)
        self._batch_size = batch_size
        data, manifest = (
            checked_file(_ASSET, name, sha256, cache_dir) for name, sha256 in _FILES.items()
        )
        network = build_network(read_weights(data, json.loads(manifest)[0]["weights"]))
        self._session = open_session(network, threads)

    @property
    def sha256(self) -> str:
        """Hash the weights and the chip's geometry."""
        return judge_sha256(NAME, _FILES, _CHIP_PX, CHIP_LANDMARKS_PX)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed aligned crops (N, R, R, 3) uint8 RGB: (N, 128)."""
        parts = [np.zeros((0, 128), np.float32)]
        for start in range(0, len(crops), self._batch_size):
            batch = chips(crops[start : start + self._batch_size], self._matrix, _CHIP_PX)
            parts.append(self.embed_chips(batch.astype(np.float32)))
        return np.concatenate(parts)

    def embed_chips(self, chips: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed dlib's own chips (N, 150, 150, 3) float32 RGB, 0..255: (N, 128)."""
        image = np.ascontiguousarray(chips.transpose(0, 3, 1, 2))
        found: NDArray[np.float32] = self._session.run(["embedding"], {"image": image})[0]
        return found
