"""Groups of pictures: identities × scenes, so that few renders give many triplets.

With K people a group has K · (K + 1) pictures:
- `0 .. K-1`: source views; picture a shows person a, frontal, with a mild expression;
- `K + b·K + a`: person b in target scene b, wearing the inner face of person a. With a = b it is
  the untouched person b. All K pictures of one scene are equal wherever the mask is 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_compress.data.render.lights import ANY_LIGHT, LIGHTS
from edgeswap_compress.errors import InvalidSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPLITS = ("train", "heldout")
RENDERERS = (3, 4)
"""Versions whose pictures can be rendered: 4 knows occluders, any light and a camera."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """What decides every pixel of a group, besides its number.

    Attributes:
        split: "train" or "heldout"; no person of one occurs in the other.
        seed: of the dataset.
        identities: people per group (K).
        size_px: side of the pictures.
        supersampling: samples per pixel and axis.
        renderer: version that draws; the same version draws the same pixels for ever.
        light: kind of light of every scene, or "any"; people, poses and occluders stay the same
            whatever it is. Version 4 only.
    """

    split: str = "train"
    seed: int = 0
    identities: int = 4
    size_px: int = 96
    supersampling: float = 1.5
    renderer: int = RENDERERS[-1]
    light: str = ANY_LIGHT

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InvalidSettings(f"split '{self.split}': expected one of {', '.join(SPLITS)}")
        bounds = {"seed": (0, 2**32), "identities": (2, 16), "size_px": (16, 1024),
                  "supersampling": (1, 4), "renderer": (0, 1000)}  # fmt: skip
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise InvalidSettings(f"{name} {getattr(self, name)}: expected {low} to {high}")
        kinds = (ANY_LIGHT, *LIGHTS) if self.renderer > 3 else (ANY_LIGHT,)
        if self.light not in kinds:
            raise InvalidSettings(f"light '{self.light}': expected one of {', '.join(kinds)}")

    def check_renderer(self) -> None:
        """Refuse a version that can be read but no longer, or not yet, rendered.

        Raises:
            InvalidSettings: with the versions that can.
        """
        if self.renderer not in RENDERERS:
            raise InvalidSettings(f"renderer {self.renderer}: expected one of {list(RENDERERS)}")

    @classmethod
    def recorded(cls, settings: dict[str, Any], renderer: int) -> GroupSettings:
        """The settings that a dataset's manifest states beside its renderer's version."""
        return cls(**{"renderer": renderer, **settings})

    def to_json(self) -> dict[str, Any]:
        """What a manifest states; the renderer's version stands beside it."""
        values = {name: value for name, value in asdict(self).items() if name != "renderer"}
        if self.renderer == 3:
            del values["light"]
        return values

    @property
    def pictures(self) -> int:
        """Count the pictures of a group."""
        return self.identities * (self.identities + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The rendered pictures of a group, in the order of the module's docstring.

    Attributes:
        images: (P, S, S, 3) uint8 RGB.
        masks: (P, S, S) uint8; the pictures of one scene share theirs, the union.
        landmarks: (P, 5, 2) float32, pixels.
        occluders: (P, S, S) uint8, opacity of what stands before the inner face; None in version 3.
        scenes: what each source view (K) and each target scene (K) is like, as JSON values.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    occluders: NDArray[np.uint8] | None = None
    scenes: tuple[dict[str, Any], ...] = ()


def picture_index(identities: int, scene: int, inner: int) -> int:
    """Give the position in a group of scene b's person wearing inner face a."""
    return identities + scene * identities + inner


def triplets(identities: int) -> NDArray[np.int64]:
    """List all (source, target, truth) positions of a group whose source is a source view: (T, 3).

    The target is a scene's person wearing any inner face but the source's, so T = K·K·(K-1). Any
    other picture that wears the same inner face would do as a source too.
    """
    people = range(identities)
    rows = [
        (a, picture_index(identities, b, worn), picture_index(identities, b, a))
        for b in people
        for a in people
        for worn in people
        if worn != a
    ]
    return np.array(rows, np.int64)
