"""Tell where several photos, said to show one person, disagree.

The likeness of two photos is the cosine between their identity vectors. It tells people apart only
where the bundle's identity graph was measured to do so; see `faces.recognize`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.faces.recognize import likeness

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


def disagreements(
    vectors: Sequence[NDArray[np.float32]], names: Sequence[str], threshold: float
) -> list[str]:
    """Compare every photo with every other one.

    Args:
        vectors: (1, V) identity vector of each photo.
        names: how to call each.
        threshold: least likeness of two photos of the same person, -1 to 1.

    Returns:
        one line for each two photos below it, such as "a.jpg and b.jpg: likeness 0.61, expected at
        least 0.88", least alike first.
    """
    found = [
        (likeness(vectors[one], vectors[other]), f"{names[one]} and {names[other]}")
        for one in range(len(vectors))
        for other in range(one + 1, len(vectors))
    ]
    return [
        f"{pair}: likeness {value:.2f}, expected at least {threshold:.2f}"
        for value, pair in sorted(found)
        if value < threshold
    ]
