"""Groups of renderer 4: the same identities × scenes as version 3's, with records of each scene."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from edgeswap_compress.data.occluders.occluders import (
    SOURCE_ODDS,
    TARGET_ODDS,
    Occluders,
    Sitter,
    draw_occluders,
)
from edgeswap_compress.data.people.appearance import skin_files
from edgeswap_compress.data.people.moods import draw_mood
from edgeswap_compress.data.people.stage import Stage, crop_stage
from edgeswap_compress.data.people.variety import draw_detailed, make_detailed
from edgeswap_compress.data.render.conditions import Lamp, draw_pose, light_scene
from edgeswap_compress.data.render.film import Film, blur, develop, exposure_for, grain_of

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.camera import Camera
    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.stage import Person
    from edgeswap_compress.data.render.studio import Exposure, Studio

MILD = 0.6
"""Strength of a source view's mood."""
_FRINGE_ODDS = 0.14
_NEAR_DM = 5.0
"""How far before the head things may stand; hands and cups, another person's head."""
_LEAST_VISIBLE = 0.26
"""Share of the inner face that must stay visible."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shot:
    """The finished pictures of one scene.

    Attributes:
        images: (n, S, S, 3) uint8, one for each inner face; equal wherever the mask is 0.
        mask: (S, S) uint8, what a swap may change: the inner face less what stands before it.
        occluder: (S, S) uint8, opacity of what stands before the inner face, 0 elsewhere.
        landmarks: (n, 5, 2) float32, pixels.
        record: what a reader may ask about the scene, as JSON values.
    """

    images: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    occluder: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    record: dict[str, Any]


def draw_person(head: Head, rng: Generator) -> Person:
    """Draw one of a group's people."""
    fringe = rng.random() < _FRINGE_ODDS
    return make_detailed(head, draw_detailed(rng, head, fringe=fringe))


def shoot_scene(
    studio: Studio,
    rng: Generator,
    wearer: Person,
    worn: list[Person | None],
    *,
    frontal: bool,
    light: str,
) -> Shot | None:
    """Photograph one random scene with each inner face.

    Args:
        studio: what draws.
        rng: where all of the scene's randomness comes from.
        wearer: who is photographed.
        worn: whose inner faces they wear; their own where None.
        frontal: a picture one would choose for a source.
        light: kind of light, or "any".

    Returns:
        the pictures, or None where the scene does not show enough of a face.
    """
    # One stream for each part, so that another light leaves the rest as it is.
    pose_rng, mood_rng, light_rng, front_rng = (
        np.random.default_rng(rng.integers(2**63)) for _ in range(4)
    )
    head = studio.head
    mood, expression = draw_mood(mood_rng, head.units, strength=MILD if frontal else 1.0)
    scene, lamp, film = light_scene(light_rng, draw_pose(pose_rng, frontal=frontal), light)
    stage = crop_stage(head, wearer, expression, scene, studio.size_px)
    stage = replace(stage, camera=_nearer(stage.camera, scene.distance_dm))
    faces = [stage.face(head, person) for person in worn]
    odds = SOURCE_ODDS if frontal else TARGET_ODDS
    sitter = _sitter(studio, wearer, stage, faces)
    occluders = draw_occluders(front_rng, sitter, studio.hand, odds)
    other = _other_stage(studio, front_rng, stage) if occluders.other else None
    exposures = studio.shoot(stage, lamp, occluders, worn, other)
    landmarks = np.array([stage.landmarks(head, face) for face in faces])
    shot = _develop(studio, exposures, worn, lamp, film, landmarks)
    if not _shows_a_face(shot):
        return None
    return replace(shot, record=_record(shot, stage, mood, lamp, film, occluders))


def _sitter(
    studio: Studio, wearer: Person, stage: Stage, faces: list[NDArray[np.float32]]
) -> Sitter:
    identity: Any = wearer.identity
    first, _, _ = skin_files(studio.data, identity)
    return Sitter(
        head=studio.head,
        identity=identity,
        outer=stage.outer,
        faces=faces,
        skin=first,
        skin_tone=studio.mean_skin(identity) / studio.mean_of(first),
        nails=studio.masks / "mpfb_fingernails.jpg",
    )


def _nearer(camera: Camera, distance_dm: float) -> Camera:
    """The same camera, which also sees what is close to it."""
    near, far = max(0.3, distance_dm - _NEAR_DM), distance_dm + 6.0
    clip = camera.clip.copy()
    clip[2] = clip[3] * (far + near) / (far - near)
    clip[2, 3] -= 2 * far * near / (far - near)
    return replace(camera, clip=clip)


def _other_stage(studio: Studio, rng: Generator, stage: Stage) -> Stage:
    """Another person between the camera and the first, mostly seen from behind."""
    person = draw_person(studio.head, rng)
    turn = float(rng.choice([rng.uniform(120, 240), rng.uniform(-80, 80)]))
    scene = replace(stage.scene, yaw_deg=turn, pitch_deg=float(rng.normal(0, 8)), roll_deg=0.0)
    own = crop_stage(studio.head, person, _still(studio.head), scene, studio.size_px)
    side = float(rng.choice([-1, 1]))
    shift = np.array([side * rng.uniform(0.75, 1.6), rng.uniform(-1.2, 0.3), rng.uniform(1.8, 2.8)])
    away = stage.pose.pivot - own.pose.pivot + shift
    stiff = replace(own.pose, body_turn=own.pose.head_turn)
    outer = (own.outer + away @ stiff.head_turn).astype(
        np.float32
    )  # posed, it lies `away` from there
    return replace(own, outer=outer, pose=stiff, camera=stage.camera)


def _still(head: Head) -> Any:
    from edgeswap_compress.data.people.expression import neutral_expression

    return neutral_expression(head.units)


def _develop(
    studio: Studio,
    exposures: list[Exposure],
    worn: list[Person | None],
    lamp: Lamp,
    film: Film,
    landmarks: NDArray[np.float32],
) -> Shot:
    """Expose all pictures of a scene alike, and keep them equal where no swap may change them."""
    own = exposures[worn.index(None)]
    bright = own.skin_light / 0.18
    # A camera's exposure halves the difference between dark and light skin.
    factor = exposure_for(own.skin_light, lamp.level * float(np.clip(bright, 0.2, 3.0)) ** 0.10)
    size = studio.size_px
    face = np.max([one.face for one in exposures], axis=0)
    open_face = face * (1 - own.cover)
    sharp = _shrink(np.stack([open_face, face * own.cover, face], axis=-1), size)
    small = np.clip(blur(sharp, film), 0, 1)
    touched = blur(
        _shrink(((face > 0) & (own.cover < 1)).astype(np.float32)[:, :, None], size), film
    )
    pictures, grain = [], grain_of(film, size)
    for exposure in exposures:
        light = blur(_shrink(exposure.light * np.float32(factor), size), film)
        pictures.append(develop(light, film, grain))
    mask = np.round(small[:, :, 0] * 255).astype(np.uint8)
    mask = np.maximum(mask, (touched[:, :, 0] > 1 / 255).astype(np.uint8))
    images = np.stack(pictures)
    kept = mask == 0
    images[1:, kept] = images[0][kept]
    occluder = np.where(small[:, :, 2] > 1 / 255, small[:, :, 1], 0)
    # Of the sharp planes: what is kept and said must not hang on the camera.
    seen, all_of_it = float(sharp[:, :, 0].sum()), float(sharp[:, :, 2].sum())
    record = {
        "visible": seen / max(all_of_it, 1e-6),
        "face": float((sharp[:, :, 2] > 0.5).mean()),
    }
    return Shot(
        images=images,
        mask=mask,
        occluder=np.round(occluder * 255).astype(np.uint8),
        landmarks=landmarks.astype(np.float32),
        record=record,
    )


def _shrink(samples: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Average (side, side, C) samples down to (size, size, C)."""
    planes = [
        Image.fromarray(np.ascontiguousarray(samples[:, :, k])).resize(
            (size, size), Image.Resampling.BOX
        )
        for k in range(samples.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def _shows_a_face(shot: Shot) -> bool:
    """Whether enough of a face is seen and its landmarks are in the picture.

    Brightness does not matter, or another light could lead to another scene.
    """
    size = shot.images.shape[1]
    if shot.landmarks.min() < 1 or shot.landmarks.max() > size - 2:
        return False
    return 0.12 < shot.record["face"] < 0.9 and shot.record["visible"] >= _LEAST_VISIBLE


def _record(
    shot: Shot, stage: Stage, mood: str, lamp: Lamp, film: Film, occluders: Occluders
) -> dict[str, Any]:
    """What the scene is like: names, angles in degrees, shares of the inner face."""
    scene = stage.scene
    identity: Any = stage.wearer.identity
    return {
        "occluders": list(occluders.names),
        "covered": round(1 - shot.record["visible"], 4),
        "light": lamp.name,
        "mood": mood,
        "yaw_deg": round(scene.yaw_deg, 2),
        "pitch_deg": round(scene.pitch_deg, 2),
        "roll_deg": round(scene.roll_deg, 2),
        "hair": identity.hair or "none",
        "gain": round(film.gain, 3),
        "jpeg": film.jpeg,
        "video": round(film.video, 2),
        "motion_px": round(film.motion_px, 2),
    }
