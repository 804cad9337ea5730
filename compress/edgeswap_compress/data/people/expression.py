"""Expressions: weights of the 52 face units, drawn as a mood plus small accidents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator

# Each mood: unit (both sides where it has sides) -> range of its weight.
_MOODS: tuple[Mapping[str, tuple[float, float]], ...] = (
    {},
    {"mouthSmile": (0.2, 0.9), "cheekSquint": (0.0, 0.6)},
    {"mouthSmile": (0.3, 0.9), "jawOpen": (0.05, 0.30), "cheekSquint": (0.0, 0.6)},
    {"jawOpen": (0.1, 0.7), "mouthFunnel": (0.0, 0.4)},
    {"mouthFrown": (0.2, 0.9), "browDown": (0.0, 0.8)},
    {"browInnerUp": (0.2, 0.9), "browOuterUp": (0.0, 0.8), "jawOpen": (0.0, 0.35),
     "eyeWide": (0.0, 0.7)},
    {"mouthPucker": (0.1, 0.7)},
    {"browDown": (0.2, 0.9), "noseSneer": (0.0, 0.6), "mouthUpperUp": (0.0, 0.5)},
)  # fmt: skip
_ACCIDENTS = (
    "mouthLeft", "mouthRight", "mouthPress", "mouthStretch", "mouthDimple", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthLowerDown", "mouthUpperUp",
    "jawLeft", "jawRight", "jawForward", "cheekPuff", "browInnerUp", "browDown", "eyeSquint",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """Weights of the face units, 0 .. 1, in the head's order; the gaze is among them."""

    weights: tuple[float, ...]


def neutral_expression(units: Sequence[str]) -> Expression:
    """All weights 0: mouth closed, eyes open, looking ahead."""
    return Expression(weights=(0.0,) * len(units))


def draw_expression(rng: Generator, units: Sequence[str], *, strength: float = 1.0) -> Expression:
    """Draw an expression and a gaze.

    Args:
        rng: where all of its randomness comes from.
        units: the head's units, in order.
        strength: scales everything but blinking and gaze; 1 is lively, 0.5 mild.
    """
    weights = dict.fromkeys(units, 0.0)
    mood = _MOODS[int(rng.integers(len(_MOODS)))]
    for unit, (low, high) in mood.items():
        _add(weights, unit, strength * rng.uniform(low, high), rng)
    for unit in _ACCIDENTS:
        if rng.random() < 0.10:
            _add(weights, unit, strength * rng.uniform(0.0, 0.4), rng)
    _add(weights, "eyeSquint", strength * max(0.0, rng.normal(0, 0.25)), rng)
    _add(weights, "eyeBlink", max(0.0, rng.normal(0.02, 0.14)), rng)
    _look(weights, sideways=rng.normal(0, 0.3), up=rng.normal(0, 0.2))
    return Expression(weights=tuple(float(np.clip(w, 0, 1)) for w in weights.values()))


def _add(weights: dict[str, float], unit: str, amount: float, rng: Generator) -> None:
    """Raise a unit, or both its sides a little unevenly."""
    for name in (unit, f"{unit}Left", f"{unit}Right"):
        if name in weights:
            weights[name] += amount * (1 + 0.1 * rng.normal())


def _look(weights: dict[str, float], *, sideways: float, up: float) -> None:
    """Turn both eyes; sideways > 0 looks to the person's left."""
    for side, outward in (("Left", sideways), ("Right", -sideways)):
        weights[f"eyeLookUp{side}"] += max(0.0, up)
        weights[f"eyeLookDown{side}"] += max(0.0, -up)
        weights[f"eyeLookOut{side}"] += max(0.0, outward)
        weights[f"eyeLookIn{side}"] += max(0.0, -outward)
