"""Geometry: the shape of a head, the inner-face split, expression and pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from edgeswap_compress.data.people.head import AGES, MUSCLES, RACES, SEXES, WEIGHTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.expression import Expression
    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.identity import Adult
    from edgeswap_compress.data.people.scene import Scene

    Points = NDArray[np.float32]

# From the eye's center, the nose tip and the mouth's corner to where the YuNet detector sees them,
# fitted on 400 portraits; x counts outwards.
_EYE_DM = np.array([0.012, -0.030, 0.169], np.float32)
_NOSE_DM = np.array([0.0, 0.028, 0.0], np.float32)
_MOUTH_DM = np.array([0.023, 0.019, -0.045], np.float32)
_SHOULDERS_FOLLOW = 0.35


def identity_shape(head: Head, identity: Adult) -> Points:
    """The neutral head of one person: (N, 3) float32, dm."""
    shape = head.base.copy()
    for name, weight in _macro_weights(identity).items():
        if weight > 1e-4:
            shape += np.float32(weight) * head.macros[name]
    sliders = np.array(identity.sliders, np.float32)
    shape += np.tensordot(np.maximum(sliders, 0), head.slider_up, axes=1)
    shape += np.tensordot(np.maximum(-sliders, 0), head.slider_down, axes=1)
    shape += np.tensordot(np.array(identity.asymmetries, np.float32), head.asymmetries, axes=1)
    return shape


def _macro_weights(identity: Adult) -> dict[str, float]:
    """Multilinear weights of the targets over sex, age, race, muscle and weight."""
    sexes = dict(zip(SEXES, (1 - identity.sex, identity.sex), strict=True))
    ages = dict(zip(AGES, (1 - identity.age, identity.age), strict=True))
    weights: dict[str, float] = {}
    for sex, p in sexes.items():
        for age, q in ages.items():
            for race, r in zip(RACES, identity.races, strict=True):
                weights[f"{race}-{sex}-{age}"] = p * q * r
            for muscle, m in zip(MUSCLES, _three_way(identity.muscle), strict=True):
                for weight, w in zip(WEIGHTS, _three_way(identity.weight), strict=True):
                    weights[f"{sex}-{age}-{muscle}-{weight}"] = p * q * m * w
    return weights


def _three_way(value: float) -> tuple[float, float, float]:
    """Weights of the targets at -1, 0 and 1."""
    return max(0.0, -value), 1 - abs(value), max(0.0, value)


def expression_moves(head: Head, expression: Expression) -> Points:
    """What an expression adds to any head: (N, 3) float32, dm."""
    moves: Points = np.tensordot(
        np.array(expression.weights, np.float32), head.unit_moves, axes=1
    ).astype(np.float32)
    return moves


def wear_inner_face(head: Head, outer: Points, inner: Points) -> Points:
    """Put the shape of another person's inner face into a head.

    The inner face is first shifted and scaled onto the wearer's, so that features keep their
    proportions while the face stays where the head is. Vertices whose weight is 0 keep the
    wearer's coordinates bit for bit.

    Args:
        head: the morphable head.
        outer: (N, 3) neutral head of the wearer (the target).
        inner: (N, 3) neutral head of the person whose inner face is worn (the source).
    """
    core = head.inner > 0.5
    a, b = inner[core], outer[core]
    center_a, center_b = a.mean(0), b.mean(0)
    scale = np.sqrt(((b - center_b) ** 2).sum() / ((a - center_a) ** 2).sum())
    moved = (inner - center_a) * scale + center_b
    return outer + head.inner[:, None] * (moved - outer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """A rotation of the head about the neck; the shoulders follow a little.

    Attributes:
        pivot: (3,) float32.
        head_turn, body_turn: (3, 3) float32.
        neck_height: y of the neck joint, dm.
    """

    pivot: Points
    head_turn: Points
    body_turn: Points
    neck_height: float

    def apply(self, points: Points) -> Points:
        """Pose (M, 3) points given in the head's rest frame."""
        height = points[:, 1] + 0.28 * np.clip(points[:, 2], -0.5, 2)
        weight = np.clip((height - (self.neck_height - 0.05)) / 0.75, 0, 1)[:, None]
        weight = (weight * weight * (3 - 2 * weight)).astype(np.float32)
        centered = points - self.pivot
        body = centered @ self.body_turn.T
        posed: Any = self.pivot + body + weight * (centered @ self.head_turn.T - body)
        return cast("Points", posed)


def make_pose(head: Head, outer: Points, scene: Scene) -> Pose:
    """The scene's pose for one head. `outer` is the wearer's, so that a swap does not move it."""
    turn = rotation(scene.yaw_deg, scene.pitch_deg, scene.roll_deg)
    neck = outer[head.joints["neck"]].mean(0)
    still = np.eye(3, dtype=np.float32)
    return Pose(
        pivot=(neck + np.array([0, 0.45, 0.1])).astype(np.float32),
        head_turn=turn,
        body_turn=still + np.float32(_SHOULDERS_FOLLOW) * (turn - still),
        neck_height=float(neck[1]),
    )


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Points:
    """Roll after yaw after pitch: (3, 3) float32, x right, y up, z to the camera."""
    y, p, r = np.radians([yaw_deg, pitch_deg, roll_deg])
    roll = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    yaw = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    pitch = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
    return (np.array(roll) @ np.array(yaw) @ np.array(pitch)).astype(np.float32)


def face_landmarks(head: Head, face: Points) -> Points:
    """Find the landmarks that a detector reports, in the rest frame.

    Args:
        head: the morphable head.
        face: (N, 3) the head with expression, unposed.

    Returns:
        (5, 3) float32: right eye (image left), left eye, nose tip, right and left mouth corner.
    """
    mirror = np.array([-1, 1, 1], np.float32)
    right, left = (face[head.joints[f"{side}-eye"]].mean(0) for side in ("right", "left"))
    nose, right_corner, left_corner = face[head.marks]
    points = [
        right + mirror * _EYE_DM,
        left + _EYE_DM,
        nose + _NOSE_DM,
        right_corner + mirror * _MOUTH_DM,
        left_corner + _MOUTH_DM,
    ]
    return np.stack(points).astype(np.float32)
