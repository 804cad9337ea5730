"""Scenes: pose, camera, light, background and clothing of one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything of a picture that is not the person.

    Attributes:
        yaw_deg, pitch_deg, roll_deg: of the head; yaw > 0 turns to image right, pitch > 0 down.
        distance_dm: camera to head; short distances enlarge the nose.
        key_direction: unit vector towards the main light, camera coordinates (x right, y up,
            z to the camera); key_color: linear RGB.
        sky_color, ground_color: linear RGB of the light from above and below.
        rim_direction, rim_color: a light from behind.
        exposure: multiplies all light.
        background: three linear RGB colors; background_seed and background_kind (0 soft
            gradient, 1 blotches, 2 panels) shape them.
        clothing: linear RGB.
        crop_turn_deg, crop_scale, crop_shift_px: what a detector's noise does to the alignment.
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    distance_dm: float
    key_direction: Vector
    key_color: Vector
    sky_color: Vector
    ground_color: Vector
    rim_direction: Vector
    rim_color: Vector
    exposure: float
    background: tuple[Vector, Vector, Vector]
    background_seed: float
    background_kind: int
    clothing: Vector
    crop_turn_deg: float
    crop_scale: float
    crop_shift_px: tuple[float, float]


def draw_scene(rng: Generator, *, frontal: bool = False, jitter: bool = True) -> Scene:
    """Draw a scene.

    Args:
        rng: where all of its randomness comes from.
        frontal: small yaw and pitch, as in a portrait one would choose for a source.
        jitter: misalign the crop a little, as a detector does.
    """
    turn = 0.55 if frontal else 1.0
    key = rng.normal(0, 1, 3) * [0.9, 0.5, 0.4] + [0, 0.55, 1.1]
    rim = rng.normal(0, 1, 3) * [1.0, 0.5, 0.2] + [0, 0, -0.8]
    warmth = rng.normal(0, 0.10) * np.array([1.0, 0.1, -1.0])
    sky = np.exp(-0.6 * warmth + rng.normal(0, 0.08, 3))
    cloth = (0.08 + 0.5 * rng.random()) * np.exp(rng.normal(0, 0.3, 3))
    shift = rng.uniform(-1.5, 1.5, 2) * jitter
    return Scene(
        yaw_deg=float(turn * np.clip(rng.normal(0, 13), -30, 30)),
        pitch_deg=float(turn * np.clip(rng.normal(0, 7), -16, 16)),
        roll_deg=float(np.clip(rng.normal(0, 5), -15, 15)),
        distance_dm=float(np.exp(rng.uniform(np.log(5.5), np.log(18)))),
        key_direction=_vector(key / np.linalg.norm(key)),
        key_color=_vector(np.exp(warmth + rng.normal(0, 0.05, 3)) * rng.uniform(0.55, 1.5)),
        sky_color=_vector(sky * rng.uniform(0.25, 0.60)),
        ground_color=_vector(np.exp(rng.normal(0, 0.12, 3)) * rng.uniform(0.12, 0.40)),
        rim_direction=_vector(rim / np.linalg.norm(rim)),
        rim_color=_vector(np.exp(rng.normal(0, 0.15, 3)) * max(0.0, rng.uniform(-0.5, 0.8))),
        exposure=float(np.exp(rng.normal(0, 0.13))),
        background=_background(rng),
        background_seed=float(rng.random() * 100),
        background_kind=int(rng.integers(3)),
        clothing=_vector(np.clip(cloth, 0, 0.8)),
        crop_turn_deg=float(rng.uniform(-3, 3) * jitter),
        crop_scale=float(1 + rng.uniform(-0.03, 0.03) * jitter),
        crop_shift_px=(float(shift[0]), float(shift[1])),
    )


def _background(rng: Generator) -> tuple[Vector, Vector, Vector]:
    """Three related colors: strongly colored walls are rarer than gray ones."""
    colors = rng.random((3, 3)) ** 1.5
    gray = colors.mean(1, keepdims=True)
    muted = gray + rng.uniform(0.1, 0.6) * (colors - gray)
    return _vector(muted[0]), _vector(muted[1]), _vector(muted[2])


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = (float(v) for v in values)
    return x, y, z
