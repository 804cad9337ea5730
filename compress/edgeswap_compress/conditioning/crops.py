"""Name the aligned crops a model looks at: size, landmarks, normalization."""

from __future__ import annotations

from edgeswap_compress.errors import InvalidSettings
from edgeswap_runtime.bundle.manifest_parts import MODEL_CROP, CropSpec, PlacePx
from edgeswap_runtime.faces.templates import ARCFACE_112, TIGHT_96

__all__ = [
    "MODEL_CROP",
    "OWNERS",
    "TEMPLATES",
    "CropSpec",
    "Points",
    "crop_of_template",
    "is_plain",
    "picture_key",
]

OWNERS = ("source", "target")
"""Whose picture a crop is cut from."""

Points = tuple[tuple[PlacePx, PlacePx], ...]

TEMPLATES: dict[str, tuple[int, tuple[tuple[float, float], ...]]] = {
    "tight": (96, TIGHT_96),
    "arcface": (112, ARCFACE_112),
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
    "psp": (
        112,
        (
            (38.42, 50.6225),
            (75.9285, 50.696),
            (57.3804, 72.6866),
            (40.8863, 89.7818),
            (74.1967, 89.7046),
        ),
    ),
}
"""Name -> side in pixels and the five landmarks there.

"tight" is that of the packaged models. "arcface" is insightface's (see `ARCFACE_112`). "ffhq" is
the mean of the landmarks in FFHQ's alignment at 512 px (facexlib, `face_restoration_helper.py`);
crops that were aligned by dlib's 68 points are only near it. "psp" is the part of an FFHQ crop that
pixel2style2pixel (2008.00951) and those after it show an ArcFace: columns 32 to 220, rows 35 to 223
of 256 px.
"""


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
