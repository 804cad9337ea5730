"""Moods of renderer 4: named, so that a picture knows what its face does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.people.expression import Expression, draw_expression, neutral_expression

if TYPE_CHECKING:
    from numpy.random import Generator

# Mood: its odds, and each unit's range (both sides where it has sides).
_MOODS: dict[str, tuple[float, Mapping[str, tuple[float, float]]]] = {
    "plain": (0.34, {}),
    "smile": (0.12, {"mouthSmile": (0.3, 0.8), "cheekSquint": (0.0, 0.5)}),
    "teeth": (0.18, {"mouthSmile": (0.55, 1.0), "mouthUpperUp": (0.25, 0.6),
                     "mouthLowerDown": (0.15, 0.5), "jawOpen": (0.0, 0.12),
                     "cheekSquint": (0.1, 0.7)}),
    "laugh": (0.11, {"mouthSmile": (0.5, 0.95), "jawOpen": (0.18, 0.5), "mouthUpperUp": (0.1, 0.45),
                     "cheekSquint": (0.2, 0.9), "eyeSquint": (0.0, 0.5)}),
    "talk": (0.12, {"jawOpen": (0.05, 0.35), "mouthFunnel": (0.0, 0.5),
                    "mouthLowerDown": (0.0, 0.4), "mouthUpperUp": (0.0, 0.25)}),
    "open": (0.06, {"jawOpen": (0.35, 0.85), "eyeWide": (0.0, 0.6), "browInnerUp": (0.0, 0.6)}),
    "kiss": (0.03, {"mouthPucker": (0.4, 0.9)}),
    "wince": (0.04, {"eyeBlink": (0.3, 0.9), "noseSneer": (0.0, 0.7), "browDown": (0.2, 0.8)}),
}  # fmt: skip


def draw_mood(
    rng: Generator, units: Sequence[str], *, strength: float = 1.0
) -> tuple[str, Expression]:
    """Draw a named mood with a gaze.

    Args:
        rng: where all of its randomness comes from.
        units: the head's units, in order.
        strength: scales everything but blinking and gaze.

    Returns:
        the mood's name and the expression.
    """
    names = list(_MOODS)
    odds = np.array([_MOODS[name][0] for name in names])
    name = names[int(rng.choice(len(names), p=odds / odds.sum()))]
    if name == "plain":
        # Version 3's own moods, which are none of those above, at half their strength.
        return name, draw_expression(rng, units, strength=0.5 * strength)
    base = np.array(neutral_expression(units).weights)
    gaze = np.array(draw_expression(rng, units, strength=0.0).weights)
    for unit, (low, high) in _MOODS[name][1].items():
        amount = strength * rng.uniform(low, high)
        for k, known in enumerate(units):
            if known in (unit, f"{unit}Left", f"{unit}Right"):
                base[k] += amount * (1 + 0.1 * rng.normal())
    weights = np.clip(base + gaze, 0, 1)
    return name, Expression(weights=tuple(float(w) for w in weights))
