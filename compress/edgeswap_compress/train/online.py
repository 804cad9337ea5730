"""Online augmentation: change pictures and encode them anew while training goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgeswap_compress.checkpoint.latents import encode_crop
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.data import Pictures
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_compress.fit.machine.placement import like_module
from edgeswap_compress.train.augment import Pixels, apply_look, augment_example, draw_look


def pixels_at(pictures: Pictures, position: int) -> tuple[Pixels, NDArray[np.uint8]]:
    """Read picture (S, S, 3) and mask (S, S) at a position; mirrored groups follow the others."""
    group, place = divmod(position, pictures.pictures)
    mirrored, group = divmod(group, len(pictures))
    picture, mask = pictures.images(group)[place], pictures.masks(group)[place]
    return (picture[:, ::-1], mask[:, ::-1]) if mirrored else (picture, mask)


class OnlineEncoder:
    """Encoder of pictures that are augmented while training goes on.

    Args:
        vae: trained autoencoder, frozen.
        swap: its latents' shape.
        pictures: of the folder; mirrored groups follow the others, as in the cache.
        share: of every batch, in (0, 1].
    """

    def __init__(self, vae: Any, swap: SwapConfig, pictures: Pictures, share: float) -> None:
        self._vae, self._swap, self._pictures, self._share = vae, swap, pictures, share

    def count(self, rng: np.random.Generator, n: int) -> int:
        """Draw how many of n are augmented; the mean is the share exactly."""
        return min(n, int(self._share * n + rng.random()))

    def examples(
        self,
        rng: np.random.Generator,
        source: NDArray[np.int64],
        target: NDArray[np.int64],
        truth: NDArray[np.int64],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode augmented sources, targets and truths (N, C, S, S), see `augment_example`.

        Args:
            rng: source of the randomness.
            source: (N,) positions.
            target: (N,) positions.
            truth: (N,) positions.
        """
        changed = [
            augment_example(rng, *(self._picture(int(where)) for where in row))
            for row in zip(source, target, truth, strict=True)
        ]
        sources, targets, truths = self._encode(
            [p for role in zip(*changed, strict=True) for p in role]
        ).tensor_split(3)
        return sources, targets, truths

    def pictures(self, rng: np.random.Generator, positions: NDArray[np.int64]) -> Tensor:
        """Encode pictures, each in a look of its own: (N, C, S, S)."""
        return self._encode(
            [apply_look(draw_look(rng), self._picture(int(where))) for where in positions]
        )

    def _picture(self, position: int) -> Pixels:
        return pixels_at(self._pictures, position)[0]

    @torch.no_grad()
    def _encode(self, pictures: list[Pixels]) -> Tensor:
        if not pictures:
            return torch.empty(0, self._swap.latent_channels, *2 * (self._swap.latent_size,))
        crops = like_module(self._vae, to_tensor(np.stack(pictures)))
        return encode_crop(self._vae, self._swap, crops).float().cpu()
