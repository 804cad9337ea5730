"""Finetuning of the decoder on latents that the denoiser predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeswap_compress.checkpoint.latents import decode_latents
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.data import Pictures
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.fit.pairing import Places
from edgeswap_compress.train.autoencoder import reconstruction_figures, reconstruction_loss
from edgeswap_compress.train.denoiser import DenoiserObjective
from edgeswap_compress.train.examples import Examples
from edgeswap_compress.train.online import pixels_at

CLEAN_SHARE = 0.3
"""Of the batch, decoded from the truth's own latents, so that these stay what they were."""
TERMINAL_SHARE = 0.5
"""Of the predictions, made from pure noise as in one step; the rest at random times."""
HELD_OUT = 64


class SwapDecoderObjective:
    """Reconstruction of exact truths from the denoiser's predictions of their latents.

    A prediction is the mean of what may be, a blur where the network is unsure; the pixel terms
    make the decoder correct what is wrong with it on average, the fine-scale term gives back the
    texture. The encoder and the denoiser stay as they are.

    Args:
        vae: autoencoder; its decoder requires gradients, nothing else.
        fine_weight: of `fine_energy_loss`.
        denoiser: trained.
        train, held_out: examples with truths, and the pictures they come from.
    """

    def __init__(
        self,
        vae: Any,
        swap: SwapConfig,
        fine_weight: float,
        denoiser: DenoiserObjective,
        train: tuple[Examples, Pictures],
        held_out: tuple[Examples, Pictures],
    ) -> None:
        self.module, self._swap, self._fine_weight = vae, swap, fine_weight
        self._denoiser, self._train, self._held_out = denoiser, train, held_out
        self._dtype, self._device = next(vae.parameters()).dtype, device_of(vae)

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of a batch of random examples."""
        examples, pictures = self._train
        places, batch = examples.placed(draw, batch_size)
        batch = batch.to(self._device)
        latents = self._denoiser.predicted(batch, draw, TERMINAL_SHARE)
        clean = draw.chosen(CLEAN_SHARE, latents)
        latents = torch.where(clean.view(-1, 1, 1, 1), batch.truth, latents)
        crops, mask = (x.to(self._device) for x in _truths(pictures, places))
        return reconstruction_loss(self._decode(latents), crops, mask, self._fine_weight)

    def evaluate(self) -> dict[str, float]:
        """Measure one-step predictions, see `reconstruction_figures`."""
        examples, pictures = self._held_out
        places, batch = examples.held_out_placed(HELD_OUT)
        batch = batch.to(self._device)
        crops, mask = (x.to(self._device) for x in _truths(pictures, places))
        output = self._decode(self._denoiser.predicted(batch, None))
        return reconstruction_figures(output, crops, mask)

    def _decode(self, latents: Tensor) -> Tensor:
        return decode_latents(self.module, self._swap, latents.to(self._dtype), clamp=False).float()


def _truths(pictures: Pictures, places: Places) -> tuple[Tensor, Tensor]:
    """Read truths (N, 3, R, R) in [-1, 1] and masks (N, 1, R, R) in [0, 1]."""
    pairs = [pixels_at(pictures, int(where)) for where in places.truth]
    crops, masks = (np.stack(part) for part in zip(*pairs, strict=True))
    return to_tensor(crops), torch.from_numpy(masks).float()[:, None] / 255.0
