"""Describe how ONNX encoders see a face: their crops, and the features read off them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeswap_compress._checks import check_choice
from edgeswap_compress.conditioning.crops import TEMPLATES, CropSpec, crop_of_template

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's pictures (2103.00020; openai/clip-vit-large-patch14, preprocessor_config.json)."""

COLORS = ("RGB", "BGR")

_LOOKED_AT = 8
"""Nodes at the start of a recognizer among which its own normalization would stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eye:
    """How an ONNX encoder is shown a face.

    Attributes:
        align: name of the crop's alignment template.
        color: order of the channels, "RGB" or "BGR".
        output: name of the output that is read; None takes the only one.
    """

    align: str
    color: str = "RGB"
    output: str | None = None

    def __post_init__(self) -> None:
        check_choice("alignment", self.align, sorted(TEMPLATES))
        check_choice("color", self.color, COLORS)


def recognizer_crop(path: Path, side_px: int, eye: Eye) -> CropSpec:
    """Describe the crop a recognizer takes: pixels in [-1, 1], or as they are.

    Files that begin with a subtraction and a multiplication normalize by themselves; those are
    given 0 to 255. The rule is insightface's (`model_zoo/arcface_onnx.py`).

    Args:
        path: of the ONNX file.
        side_px: side of its picture.
        eye: how it is shown a face.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    names = [node.name.lower() for node in graph.node[:_LOOKED_AT]]
    subtracts = any(name.startswith(("sub", "_minus")) for name in names)
    multiplies = any(name.startswith(("mul", "_mul")) for name in names)
    if subtracts and multiplies:
        mean, std = (0.0,) * 3, (1.0 / 255.0,) * 3
    else:
        mean, std = (0.5,) * 3, (0.5,) * 3
    return crop_of_template(eye.align, side_px, mean=mean, std=std, color=eye.color)


def clip_crop(side_px: int, eye: Eye) -> CropSpec:
    """Describe the crop that CLIP's image encoders take."""
    return crop_of_template(eye.align, side_px, mean=CLIP_MEAN, std=CLIP_STD, color=eye.color)
