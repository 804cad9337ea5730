"""Name the aligned crops a model looks at: size, landmarks, normalization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from edgeswap_compress.errors import InvalidCheckpoint, InvalidSettings
from edgeswap_runtime.bundle.manifest_parts import PlacePx, SidePx
from edgeswap_runtime.bundle.schema import Range
from edgeswap_runtime.faces.align import ARCFACE_112, TEMPLATE_96

MODEL_CROP = "model"
"""Name of the crop that is swapped and pasted back; every checkpoint has one."""

OWNERS = ("source", "target")
"""Whose picture a crop is cut from."""

COLORS = ("RGB", "BGR")

Mean = Annotated[float, Range(-10.0, 10.0)]
Deviation = Annotated[float, Range(1e-3, 1e3)]

Points = tuple[tuple[PlacePx, PlacePx], ...]

TEMPLATES: dict[str, tuple[int, tuple[tuple[float, float], ...]]] = {
    "tight": (96, tuple((float(x), float(y)) for x, y in TEMPLATE_96)),
    "arcface": (112, tuple((float(x), float(y)) for x, y in ARCFACE_112)),
    "ffhq": (
        512,
        (
            (192.98138, 239.94708),
            (318.90277, 240.1936),
            (256.63416, 314.01935),
            (201.26117, 371.41043),
            (313.08905, 371.15118),
        ),
    ),
}
"""Name -> side in pixels and the five landmarks there.

"tight" is that of the packaged models. "arcface" is insightface's (see `ARCFACE_112`). "ffhq" is
the mean of the landmarks in FFHQ's alignment at 512 px (facexlib, `face_restoration_helper.py`);
crops that were aligned by dlib's 68 points are only near it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSpec:
    """An aligned square crop that a model takes in, of a source's or a target's picture.

    A pixel p of 0 to 255 enters the graph as (p / 255 - mean) / std, in the stated color order.

    Attributes:
        size_px: side of the crop.
        landmarks_px: where the five landmarks come to lie, (x, y) in pixels of the crop: right eye,
            left eye, nose tip, right and left mouth corner (of the person; right is image left).
        mean: of each channel, in [0, 1] units.
        std: of each channel, in [0, 1] units.
        color: order of the channels, "RGB" or "BGR".
    """

    size_px: SidePx
    landmarks_px: Points
    mean: tuple[Mean, Mean, Mean] = (0.5, 0.5, 0.5)
    std: tuple[Deviation, Deviation, Deviation] = (0.5, 0.5, 0.5)
    color: str = "RGB"

    def __post_init__(self) -> None:
        where = "swap.json: crops"
        if len(self.landmarks_px) != 5:
            found = len(self.landmarks_px)
            raise InvalidCheckpoint(f"{where}: landmarks_px", expected="5 points", found=found)
        if self.color not in COLORS:
            raise InvalidCheckpoint(
                f"{where}: color", expected=f"one of {COLORS}", found=self.color
            )
        spread = max(math.dist(a, b) for a in self.landmarks_px for b in self.landmarks_px)
        if spread < self.size_px / 16:
            expected = f"points at least {self.size_px / 16:g} px apart"
            raise InvalidCheckpoint(f"{where}: landmarks_px", expected=expected, found=spread)


def is_plain(crop: CropSpec) -> bool:
    """Tell whether pixels enter as RGB in [-1, 1], as those of the crop "model" must."""
    half = (0.5, 0.5, 0.5)
    return crop.color == "RGB" and crop.mean == half and crop.std == half


def crop_of_template(
    name: str,
    size_px: int,
    *,
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5),
    std: tuple[float, float, float] = (0.5, 0.5, 0.5),
    color: str = "RGB",
) -> CropSpec:
    """Scale a named template to a crop of another side.

    Args:
        name: key of `TEMPLATES`.
        size_px: side of the crop, pixels.
        mean: of each channel, see `CropSpec`.
        std: of each channel.
        color: order of the channels.

    Raises:
        InvalidSettings: there is no such template.
    """
    if name not in TEMPLATES:
        raise InvalidSettings(f"template {name!r}: expected one of {', '.join(sorted(TEMPLATES))}")
    side, points = TEMPLATES[name]
    scale = size_px / side
    landmarks = tuple((x * scale, y * scale) for x, y in points)
    return CropSpec(size_px=size_px, landmarks_px=landmarks, mean=mean, std=std, color=color)


def picture_key(crop: str, owner: str) -> str:
    """Name a picture: the crop of that name, of a "source" or a "target": "arcface/source"."""
    return f"{crop}/{owner}"
