"""Last phase of a distillation: finetune the decoder on the student's own swaps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from edgeswap_compress.checkpoint.latents import decode_latents, sample_to_latents
from edgeswap_compress.data import Pictures
from edgeswap_compress.distill._discriminators import PictureDiscriminator, frozen, hinge
from edgeswap_compress.distill._task import Student
from edgeswap_compress.distill.material.triplets import TripletBatch
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.fit.material.pairs import truth_pixels
from edgeswap_compress.train.autoencoder import reconstruction_figures, reconstruction_loss

VAE = "vae"
"""Name of the autoencoder in the fitted module."""

CLEAN_SHARE = 0.2
"""Of each batch, decoded from the truth's own latents, so that these stay what they were."""


class DecoderObjective:
    """Reconstruction of exact truths from the student's own swaps.

    Few steps regress to a mean, which is a blur wherever the truth is uncertain. The decoder sees
    which latents those are: its pixel terms correct what is wrong on average, its fine-scale term
    gives texture back, and a discriminator asks that it look like the truths' (the adversarial
    term of ADD, 2311.17042, in pixels). Encoder and denoiser stay as they are, and no evaluation is
    added.

    Args:
        task: of the fitted student; draws triplets and swaps them.
        vae: the student's autoencoder; its decoder alone learns.
        pictures, held_out: the pixels of ``task``'s data and of its held-out data.
        fine_weight: of the energy of the finest scale.
        adversarial_weight: of the discriminator's verdict; 0 leaves the discriminator out.
        seed: of the discriminator's weights.
    """

    def __init__(
        self,
        task: Student,
        vae: Any,
        pictures: Pictures,
        held_out: Pictures,
        *,
        fine_weight: float,
        adversarial_weight: float,
        seed: int,
    ) -> None:
        self._dtype = next(vae.parameters()).dtype
        vae.requires_grad_(False)
        vae.decoder.requires_grad_(True)
        self.module, self._vae = nn.ModuleDict({VAE: vae}), vae
        self._discriminator: PictureDiscriminator | None = None
        if adversarial_weight > 0:
            judge = PictureDiscriminator(seed=seed, dtype=self._dtype)
            self._discriminator = judge.to(device_of(vae))
            self.module["discriminator"] = self._discriminator
        self._task, self._fine_weight = task, fine_weight
        self._adversarial_weight = adversarial_weight
        self._pictures, self._held_out = pictures, held_out
        self._swap = task.swap_config

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of random triplets."""
        batch = self._task.draw(draw, batch_size, exact=True)
        with torch.no_grad():
            own = self._task.swap(batch, draw.normal(batch.truth))
        clean = draw.chosen(CLEAN_SHARE, own)
        found = torch.where(clean.view(-1, 1, 1, 1), batch.truth, own)
        crops, mask = (x.to(own.device) for x in truth_pixels(self._pictures, batch.drawn))
        output = self._decode(found, batch)
        loss, parts = reconstruction_loss(output, crops, mask, self._fine_weight)
        return loss + self._adversarial_loss(output, crops, mask, parts), parts

    def _adversarial_loss(
        self, output: Tensor, crops: Tensor, mask: Tensor, parts: dict[str, float]
    ) -> Tensor:
        """Compute the adversarial losses; the gradient of each reaches that network alone."""
        judge = self._discriminator
        if judge is None:
            return output.new_zeros(())
        with frozen(judge):
            real_looking = judge(output, mask).mean()
        real, fake = judge(crops, mask), judge(output.detach(), mask)
        found = hinge([real], [fake])
        parts["adversarial"] = -float(real_looking.detach())
        parts["discriminator"] = float(found.detach())
        parts["verdict_gap"] = float((real.mean() - fake.mean()).detach())
        return found - self._adversarial_weight * real_looking

    def evaluate(self) -> dict[str, float]:
        """Measure the fixed triplets against the truths, see ``reconstruction_figures``."""
        batch, found = self._task.swap_exact()
        output = self._decode(found, batch)
        crops, mask = (x.to(output.device) for x in truth_pixels(self._held_out, batch.drawn))
        return reconstruction_figures(output, crops, mask)

    def _decode(self, found: Tensor, batch: TripletBatch) -> Tensor:
        latents = sample_to_latents(self._swap, found, batch.target).to(self._dtype)
        return decode_latents(self._vae, self._swap, latents, clamp=False).float()
