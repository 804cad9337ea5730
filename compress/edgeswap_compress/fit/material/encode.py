"""Encode a folder of pictures as a model sees them, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.data import Pictures
from edgeswap_compress.fit.latent_cache import LatentGroups, encode_dataset
from edgeswap_compress.fit.material.sight import encode_features


@dataclass(frozen=True, slots=True)
class EncodedPictures:
    """Pictures of a folder, as one model sees them.

    Attributes:
        latents: of its autoencoder.
        features: what else it sees, see `encode_features`.
    """

    latents: LatentGroups
    features: Mapping[str, Tensor]


def encode_pictures(
    model: Checkpoint,
    pictures: Pictures,
    cache: Path,
    *,
    flips: bool,
    report: Callable[[str], Any],
    key: str = "",
) -> EncodedPictures:
    """Encode pictures, or read what an earlier run encoded.

    Args:
        model: where it computes.
        pictures: to look at.
        cache: file of the latents; the features stand beside it.
        flips: mirrored groups follow the others.
        report: name of a phase -> its progress.
        key: tells models apart where the file may be another model's.
    """
    whole = f"{key}{pictures.digest}"
    beside = cache.with_name(f"{cache.stem}-features{cache.suffix}")
    latents = encode_dataset(
        model.vae, model.swap, pictures, cache, whole, flips=flips, progress=report("latents")
    )
    features = encode_features(
        model, pictures, beside, whole, flips=flips, progress=report("features")
    )
    return EncodedPictures(latents, features)
