"""Cameras: from the posed head to the pixels of an aligned crop or of a portrait.

Pixel coordinates follow `edgeswap_runtime.faces.align`: x right, y down, pixel centers at integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.faces.align import TEMPLATE_96, similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.scene import Scene

_DEPTH_DM = (2.6, 6.0)
"""How far before and behind the head things are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A perspective camera on the z axis.

    Attributes:
        clip: (4, 4) float64, homogeneous points to clip space.
        position: (3,) float64, dm.
        size_px: side of its square picture.
    """

    clip: NDArray[np.float64]
    position: NDArray[np.float64]
    size_px: int

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixels (M, 2) of posed points (M, 3)."""
        homogeneous = np.column_stack([points, np.ones(len(points))]) @ self.clip.T
        x, y = (homogeneous[:, :2] / homogeneous[:, 3:]).T
        return np.column_stack([(1 + x), (1 - y)]) * (self.size_px / 2) - 0.5


def template(size_px: int) -> NDArray[np.float64]:
    """The five landmarks (5, 2) of an aligned crop of any size, in its pixels."""
    return (TEMPLATE_96 + 0.5) * (size_px / 96) - 0.5


def crop_camera(
    landmarks: NDArray[np.floating], center: NDArray[np.floating], scene: Scene, size_px: int
) -> Camera:
    """Make the camera whose picture is the aligned crop, with the scene's misalignment.

    Args:
        landmarks: (5, 3) posed, in the order of `face_landmarks`.
        center: (3,) the posed point the camera looks at.
        scene: its distance and its misalignment are used.
        size_px: side of the crop.
    """
    plain = look_at(center, scene.distance_dm, half_height_dm=1.0, size_px=size_px)
    matrix = similarity(plain.project(landmarks), template(size_px))
    matrix = _jitter(scene, size_px) @ np.vstack([matrix, [0, 0, 1]])
    # The same transform in normalized device coordinates, where y points up.
    to_pixels = np.array(
        [[size_px / 2, 0, size_px / 2 - 0.5], [0, -size_px / 2, size_px / 2 - 0.5], [0, 0, 1]]
    )
    flat = np.linalg.inv(to_pixels) @ matrix @ to_pixels
    move = np.eye(4)
    move[:2, :2], move[:2, 3] = flat[:2, :2], flat[:2, 2]
    return Camera(clip=move @ plain.clip, position=plain.position, size_px=size_px)


def look_at(
    center: NDArray[np.floating], distance_dm: float, *, half_height_dm: float, size_px: int
) -> Camera:
    """A camera before a point, whose picture shows `half_height_dm` above and below it."""
    near, far = max(0.4, distance_dm - _DEPTH_DM[0]), distance_dm + _DEPTH_DM[1]
    focal = distance_dm / half_height_dm
    projection = np.array(
        [
            [focal, 0, 0, 0],
            [0, focal, 0, 0],
            [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, -1, 0],
        ]
    )
    position = np.asarray(center, np.float64) + np.array([0, 0, distance_dm])
    view = np.eye(4)
    view[:3, 3] = -position
    return Camera(clip=projection @ view, position=position, size_px=size_px)


def _jitter(scene: Scene, size_px: int) -> NDArray[np.float64]:
    """Turn and scale about the crop's center, then shift: (3, 3), in pixels."""
    middle = (size_px - 1) / 2
    angle = np.radians(scene.crop_turn_deg)
    turn = scene.crop_scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    shift = np.array(scene.crop_shift_px) * (size_px / 96)
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = middle + shift - turn @ [middle, middle]
    return matrix
