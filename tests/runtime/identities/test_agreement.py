"""Photos that are said to show one person."""

from __future__ import annotations

import numpy as np

from edgeswap_runtime.identities.agreement import disagreements


def _vector(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), np.sin(angle)]], dtype=np.float32)


def test_like_photos_agree() -> None:
    assert disagreements([_vector(0), _vector(10), _vector(20)], ["a", "b", "c"], 0.88) == []


def test_the_least_alike_come_first() -> None:
    lines = disagreements([_vector(0), _vector(60), _vector(90)], ["a", "b", "c"], 0.88)
    assert lines == [
        "a and c: likeness 0.00, expected at least 0.88",
        "a and b: likeness 0.50, expected at least 0.88",
        "b and c: likeness 0.87, expected at least 0.88",
    ]
