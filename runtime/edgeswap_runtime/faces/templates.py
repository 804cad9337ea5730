"""Places of five landmarks in aligned crops, as plain numbers: to know them takes no numpy.

Each is right eye (image left), left eye, nose, right and left mouth corner; (x, y) in pixels.
"""

from __future__ import annotations

from typing import Final

Places = tuple[tuple[float, float], ...]

ARCFACE_112: Final[Places] = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""In a 112 px crop. Source: insightface, `python-package/insightface/utils/face_align.py`."""

TIGHT_96: Final[Places] = tuple(
    ((x - 4.0) * 96 / 104, (y - 10.0) * 96 / 104) for x, y in ARCFACE_112
)
"""The same landmarks in the tight 96 px crop of the default model."""
