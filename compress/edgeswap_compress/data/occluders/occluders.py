"""What stands before a face: chosen at random, placed in the head's rest frame, named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.occluders import covers, props, strands
from edgeswap_compress.data.occluders.covers import draw_beard, draw_cover
from edgeswap_compress.data.occluders.glasses import draw_glasses
from edgeswap_compress.data.occluders.hands import (
    Hand,
    draw_grip,
    lay_on,
    skin_material,
    solid_of,
)
from edgeswap_compress.data.occluders.props import draw_prop, hold_at
from edgeswap_compress.data.occluders.solids import Material, Solid, turn_about
from edgeswap_compress.data.occluders.strands import draw_strands
from edgeswap_compress.data.people.relief import Relief

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.variety import DetailedAdult

# How often each kind is before a target's face, and before a source's.
TARGET_ODDS = {"glasses": 0.20, "sunglasses": 0.05, "hand": 0.17, "prop": 0.11, "strands": 0.18,
               "cover": 0.08, "head": 0.05}  # fmt: skip
SOURCE_ODDS = {"glasses": 0.15, "sunglasses": 0.02, "hand": 0.03, "prop": 0.01, "strands": 0.10,
               "cover": 0.02, "head": 0.0}  # fmt: skip

# Where a right hand lies: x and y of the palm (dm, x to the image's right), turn of the fingers
# to the image's left, grips. A left hand mirrors it.
_PLACES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[str, ...]]] = {
    "cheek": ((-0.52, 6.55), (-15, 25), ("relaxed", "flat")),
    "mouth": ((-0.25, 6.45), (-80, -30), ("flat", "relaxed")),
    "chin": ((-0.20, 5.85), (-60, 0), ("fist", "relaxed", "point")),
    "brow": ((-0.35, 7.75), (-75, -25), ("flat", "relaxed")),
    "eye": ((-0.45, 6.95), (-35, 15), ("relaxed", "flat")),
    "air": ((-0.45, 6.7), (-60, 50), ("flat", "relaxed", "fist", "point")),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sitter:
    """Who sits before the camera, as far as occluders need to know.

    Attributes:
        head: the morphable head.
        identity: of the wearer.
        outer: (N, 3) the wearer's unposed head with its expression.
        faces: (N, 3) each, every unposed head worn in the scene.
        skin: the wearer's skin texture; skin_tone: (3,) factor on its linear RGB.
        nails: where fingernails are on a skin texture.
    """

    head: Head
    identity: DetailedAdult
    outer: NDArray[np.float32]
    faces: Sequence[NDArray[np.float32]]
    skin: Path
    skin_tone: NDArray[np.float64]
    nails: Path


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Occluders:
    """What was placed.

    Attributes:
        names: what it is, for a picture's record.
        solids: in the order they are drawn.
        other: whether another person's head is in the way, which the renderer draws itself.
    """

    names: tuple[str, ...]
    solids: tuple[Solid, ...]
    other: bool


def draw_occluders(rng: Generator, sitter: Sitter, hand: Hand, odds: dict[str, float]) -> Occluders:
    """Choose and place occluders.

    Args:
        rng: where all of its randomness comes from.
        sitter: who they stand before.
        hand: the left hand at rest.
        odds: of each kind, as `TARGET_ODDS`.
    """
    draws = dict(zip(odds, rng.random(len(odds)), strict=True))
    chosen = {kind for kind, share in odds.items() if draws[kind] < share}
    if "sunglasses" in chosen:
        chosen.discard("glasses")
    seeds = {kind: int(rng.integers(2**63)) for kind in odds}
    relief = Relief(sitter.head, [sitter.outer, *sitter.faces]) if chosen - {"head"} else None
    names: list[str] = []
    solids: list[Solid] = []
    if sitter.identity.beard is not None and not {"cover"} & chosen:
        solids += draw_beard(sitter.head, sitter.outer, sitter.faces, sitter.identity.beard)
        names.append("beard")
    for kind in odds:
        if kind in chosen and relief is not None and kind != "head":
            name, parts = _place(np.random.default_rng(seeds[kind]), kind, sitter, relief, hand)
            names += name
            solids += parts
    if "head" in chosen:
        names.append("head")
    return Occluders(names=tuple(names), solids=tuple(solids), other="head" in chosen)


def _place(
    rng: Generator, kind: str, sitter: Sitter, relief: Relief, hand: Hand
) -> tuple[list[str], list[Solid]]:
    head, face = sitter.head, sitter.outer
    if kind in ("glasses", "sunglasses"):
        dark = kind == "sunglasses"
        return [kind], draw_glasses(rng, head, face, relief, dark=dark)
    if kind == "strands":
        if sitter.identity.hair is None:
            return [], []
        style = strands.KINDS[int(rng.choice(3, p=[0.5, 0.25, 0.25]))]
        color = sitter.identity.hair_color
        return [style], [draw_strands(rng, head, face, relief, color, style)]
    if kind == "cover":
        cloth = covers.KINDS[int(rng.choice(4, p=[0.35, 0.25, 0.15, 0.25]))]
        return [cloth], [draw_cover(rng, head, face, relief, cloth)]
    if kind == "hand":
        return ["hand"], [_hand_on_face(rng, sitter, relief, hand)]
    thing = props.KINDS[int(rng.choice(5, p=[0.3, 0.3, 0.15, 0.12, 0.13]))]
    held = rng.random() < (0.35 if thing == "stick" else 0.8)
    parts = _held(rng, sitter, relief, hand, thing, with_hand=held)
    return [thing, *(["hand"] if held else [])], parts


def _hand_skin(rng: Generator, sitter: Sitter) -> Material:
    """Mostly the sitter's own skin, sometimes another's."""
    tone = sitter.skin_tone * np.exp(rng.normal(0.05, 0.08))
    if rng.random() < 0.15:
        tone = tone * np.exp(rng.normal(0, 0.5))
    painted = float(rng.random()) if sitter.identity.sex < 0.5 and rng.random() < 0.4 else 0.0
    return skin_material(sitter.skin, sitter.nails, tone, painted)


def _hand_on_face(rng: Generator, sitter: Sitter, relief: Relief, hand: Hand) -> Solid:
    place = list(_PLACES)[int(rng.integers(len(_PLACES)))]
    (x, y), (low, high), grips = _PLACES[place]
    right = bool(rng.random() < 0.5)
    side = 1.0 if right else -1.0
    bent = draw_grip(rng, hand, grips[int(rng.integers(len(grips)))])
    solid = lay_on(
        bent,
        _hand_skin(rng, sitter),
        relief,
        at=(side * x + rng.normal(0, 0.10), y + rng.normal(0, 0.12)),
        turn_deg=side * float(rng.uniform(low, high)),
        right=right,
        lift_deg=float(rng.uniform(-4, 22)),
        scale=_hand_scale(rng, sitter),
    )
    if place == "air":
        return solid.moved(np.eye(3), np.array([0, 0, rng.uniform(0.2, 1.3)]))
    return solid


def _hand_scale(rng: Generator, sitter: Sitter) -> float:
    return float((0.93 + 0.12 * sitter.identity.sex) * np.exp(rng.normal(0, 0.03)))


def _held(
    rng: Generator,
    sitter: Sitter,
    relief: Relief,
    hand: Hand,
    thing: str,
    *,
    with_hand: bool,
) -> list[Solid]:
    """A thing before the face, mostly near the mouth, with the hand that holds it."""
    solids, radius = draw_prop(rng, thing)
    low = {"cup": 6.2, "microphone": 6.35, "phone": 6.9, "stick": 6.45, "food": 6.45}[thing]
    at = np.array([rng.normal(0, 0.16), low + rng.normal(0, 0.16), 1.5])
    if thing == "phone":
        at[0] = rng.normal(0, 0.4)
    lean = float(rng.normal(0, 65 if thing == "stick" else 16))
    placed, turn = hold_at(rng, solids, at, lean_deg=lean)
    grip = _gripping_hand(rng, sitter, hand, at, turn, radius, thing) if with_hand else None
    parts = [*placed, *([grip] if grip else [])]
    sunk = max(float((relief.top(part.positions) - part.positions[:, 2]).max()) for part in placed)
    if grip:
        deep = relief.top(grip.positions) - grip.positions[:, 2]
        sunk = max(sunk, float(np.percentile(deep, 80)))
    shift = np.array([0, 0, max(sunk, -0.6) + rng.uniform(0.01, 0.25)])
    return [part.moved(np.eye(3), shift) for part in parts]


def _gripping_hand(
    rng: Generator,
    sitter: Sitter,
    hand: Hand,
    at: NDArray[np.floating],
    turn: NDArray[np.floating],
    radius: float,
    thing: str,
) -> Solid:
    """A hand closed around a thing's upright axis, its back to the camera's side."""
    side = float(rng.choice([-1.0, 1.0]))
    bent = draw_grip(rng, hand, "grip" if radius > 0.15 else "fist")
    angle = np.radians(rng.uniform(20, 75))
    out = turn @ np.array([side * np.sin(angle), 0.0, np.cos(angle)])
    up = turn @ np.array([0.0, 1.0, 0.0])
    along = np.cross(out, up) * side  # around the front, to the other side
    rise = turn_about(out, -side * float(rng.uniform(-40, -5)))
    along, up = rise @ along, rise @ up
    axes = np.stack([np.cross(along, out), along, out], axis=1)
    scale = _hand_scale(rng, sitter)
    points = scale * bent.vertices * np.array([1.0 if side > 0 else -1.0, 1.0, 1.0])
    low = {"microphone": -0.95, "cup": -0.1, "phone": -0.3}.get(thing, -0.15)
    middle = at + turn @ np.array([0.0, low, 0.0]) + (radius + 0.16) * out - 0.30 * along
    placed = points @ axes.T + middle
    return solid_of(bent, placed, _hand_skin(rng, sitter), mirrored=side < 0)
