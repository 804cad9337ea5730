"""A stage: one person in one scene, ready to be photographed with one inner face or another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.people._face import (
    Pose,
    expression_moves,
    face_landmarks,
    identity_shape,
    make_pose,
    wear_inner_face,
)
from edgeswap_compress.data.people.camera import Camera, crop_camera, look_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.expression import Expression
    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.identity import Adult
    from edgeswap_compress.data.people.scene import Scene

_LOOK_DM = np.array([0.0, -0.35, -0.25], np.float32)
"""From between the eyes to what a crop's camera looks at; for a portrait, lower and deeper."""
_PORTRAIT_LOOK_DM = np.array([0.0, -0.25, -0.9], np.float32)
_PORTRAIT_HALF_HEIGHT_DM = 2.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An identity and its neutral shape (N, 3), computed once."""

    identity: Adult
    shape: NDArray[np.float32]


def make_person(head: Head, identity: Adult) -> Person:
    """Compute an identity's shape."""
    return Person(identity=identity, shape=identity_shape(head, identity))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What all pictures of one person in one scene share.

    Attributes:
        wearer: whose outline, ears, neck, skin tone and hair are seen.
        scene: where.
        moves: (N, 3) what the expression adds.
        outer: (N, 3) the wearer's own head with it, unposed.
        pose, camera: of the head and of the picture.
    """

    wearer: Person
    scene: Scene
    moves: NDArray[np.float32]
    outer: NDArray[np.float32]
    pose: Pose
    camera: Camera

    def face(self, head: Head, worn: Person | None) -> NDArray[np.float32]:
        """The unposed head (N, 3), with the inner face of `worn` if given."""
        if worn is None:
            return self.outer
        return wear_inner_face(head, self.wearer.shape, worn.shape) + self.moves

    def landmarks(self, head: Head, face: NDArray[np.float32]) -> NDArray[np.float32]:
        """Pixels (5, 2) of an unposed head's landmarks."""
        posed = self.pose.apply(face_landmarks(head, face))
        return self.camera.project(posed).astype(np.float32)


def crop_stage(
    head: Head, wearer: Person, expression: Expression, scene: Scene, size_px: int
) -> Stage:
    """A stage whose picture is the aligned face crop."""
    return _stage(head, wearer, expression, scene, size_px, portrait=False)


def portrait_stage(
    head: Head, wearer: Person, expression: Expression, scene: Scene, size_px: int
) -> Stage:
    """A stage whose picture shows the whole head and the shoulders."""
    return _stage(head, wearer, expression, scene, size_px, portrait=True)


def _stage(
    head: Head,
    wearer: Person,
    expression: Expression,
    scene: Scene,
    size_px: int,
    *,
    portrait: bool,
) -> Stage:
    moves = expression_moves(head, expression)
    outer = wearer.shape + moves
    pose = make_pose(head, wearer.shape, scene)
    landmarks = face_landmarks(head, outer)
    look = _PORTRAIT_LOOK_DM if portrait else _LOOK_DM
    center = pose.apply(landmarks[:2].mean(0, keepdims=True) + look)[0]
    if portrait:
        camera = look_at(
            center,
            scene.distance_dm + 4,
            half_height_dm=_PORTRAIT_HALF_HEIGHT_DM,
            size_px=size_px,
        )
    else:
        camera = crop_camera(pose.apply(landmarks), center, scene, size_px)
    return Stage(wearer=wearer, scene=scene, moves=moves, outer=outer, pose=pose, camera=camera)
