"""Kinds of light that renderer 4 knows, and how often each is drawn."""

from __future__ import annotations

LIGHTS: dict[str, float] = {
    "normal": 0.40,
    "dim": 0.11,
    "blue": 0.04,
    "green": 0.04,
    "warm": 0.06,
    "party": 0.03,
    "side": 0.11,
    "back": 0.08,
    "flash": 0.06,
    "sun": 0.07,
}
ANY_LIGHT = "any"
"""Stands for all of them."""
