"""Training of a decoder that sees the target, on a model's own swaps."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edgeswap_compress.autoencoders.target_overlay import TargetOverlay, laid_over
from edgeswap_compress.checkpoint.latents import decode_latents, encode_crop, sample_to_latents
from edgeswap_compress.checkpoint.pipeline import SwapPipeline
from edgeswap_compress.data import Dataset
from edgeswap_compress.distill._discriminators import PictureDiscriminator, frozen, hinge
from edgeswap_compress.distill.decoder.config import TargetDecoderConfig
from edgeswap_compress.fit.latent_cache import (
    TripletDraw,
    draw_triplets,
    held_out_triplets,
    to_tensor,
)
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.train.augment import apply_look, augment_scene, draw_look
from edgeswap_compress.train.autoencoder import reconstruction_figures, reconstruction_loss

CLEAN_SHARE = 0.2
"""Of each batch, decoded from the truth's own latents, so that these stay what they were."""

HELD_OUT = 64
OCCLUDED = 0.5
"""From this opacity on a pixel counts as one of what stands before the face."""


@dataclass(frozen=True, slots=True)
class SwapScenes:
    """Pictures of a batch of swaps.

    Attributes:
        source, target, truth: (N, 3, R, R) float32 RGB in [-1, 1].
        alpha: (N, 1, R, R) in [0, 1], where the truth may differ from the target: the inner face
            without what stands before it.
        occluded: (N, 1, R, R), 1 where something stands before the inner face.
    """

    source: Tensor
    target: Tensor
    truth: Tensor
    alpha: Tensor
    occluded: Tensor

    def to(self, device: torch.device) -> SwapScenes:
        """Copy the pictures to a device."""
        return SwapScenes(*(getattr(self, part.name).to(device) for part in fields(self)))


def read_scenes(
    pictures: Dataset, triplets: TripletDraw, draw: Draw | None, augment_share: float
) -> SwapScenes:
    """Read the pictures of triplets; groups beyond the dataset's are its mirrored ones.

    Args:
        pictures: rendered, with exact masks.
        triplets: N of them.
        draw: of the augmentation; None for none.
        augment_share: of the examples that are changed.
    """
    rows = []
    columns = (triplets.group, triplets.source, triplets.target, triplets.truth)
    for group, *places in zip(*(column.tolist() for column in columns), strict=True):
        rows.append(_scene(pictures, group, places, draw, augment_share))
    source, target, truth, alpha, occluded = (np.stack(part) for part in zip(*rows, strict=True))
    return SwapScenes(
        to_tensor(source),
        to_tensor(target),
        to_tensor(truth),
        torch.from_numpy(alpha)[:, None],
        torch.from_numpy(occluded)[:, None],
    )


def _scene(
    pictures: Dataset, group: int, places: list[int], draw: Draw | None, augment_share: float
) -> tuple[NDArray[Any], ...]:
    mirrored, group = divmod(group, len(pictures))
    images, place = pictures.images(group), places[1]
    source, target, truth = (np.array(images[where]) for where in places)
    alpha = pictures.masks(group)[place].astype(np.float32) / 255
    occluded = pictures.occluders(group)[place].astype(np.float32) / 255
    if mirrored:
        source, target, truth = source[:, ::-1], target[:, ::-1], truth[:, ::-1]
        alpha, occluded = alpha[:, ::-1], occluded[:, ::-1]
    if draw is not None and draw.rng.random() < augment_share:
        source = apply_look(draw_look(draw.rng), source)
        target, truth, cover = augment_scene(draw.rng, target, truth)
        alpha, occluded = alpha * (1 - cover), np.maximum(occluded, cover)
    shown = (source, target, truth, alpha, (occluded >= OCCLUDED).astype(np.float32))
    return tuple(np.ascontiguousarray(part) for part in shown)


class TargetDecoderObjective:
    """Reconstruction of exact truths by crop and alpha, laid over the target.

    The model swaps; its decoder and the network behind it learn what makes of that the truth. Alpha
    is besides told the exact mask of what may change, which leaves out whatever stands before the
    face: there the target's own pixels stay.

    Args:
        pipeline: the model; its U-Net, conditioner and encoder stay as they are.
        overlay: the network that sees the target.
        config: losses, and how the swaps are made.
        train, held_out: rendered datasets.
    """

    def __init__(
        self,
        pipeline: SwapPipeline,
        overlay: TargetOverlay,
        config: TargetDecoderConfig,
        train: Dataset,
        held_out: Dataset,
    ) -> None:
        self._pipeline, self._config, self._train = pipeline, config, train
        self._vae, self._swap, self._overlay = pipeline.vae, pipeline.swap, overlay
        for still in (pipeline.unet, self._vae):
            still.requires_grad_(False).eval()
        self._dtype, self._device = next(self._vae.parameters()).dtype, device_of(self._vae)
        self.module = nn.ModuleDict({"overlay": overlay.requires_grad_(True).train()})
        if not config.freeze_decoder:
            self._vae.decoder.requires_grad_(True)
            self.module["vae"] = self._vae
        self._judge: PictureDiscriminator | None = None
        if config.losses.adversarial_weight > 0:
            judge = PictureDiscriminator(seed=config.fit.seed, dtype=self._dtype)
            self._judge = judge.to(self._device)
            self.module["discriminator"] = self._judge
        every = held_out_triplets(len(held_out), held_out.identities)
        some = np.linspace(0, len(every.group) - 1, min(HELD_OUT, len(every.group))).astype(int)
        fixed = (every.group, every.target, every.truth, every.source, every.identity)
        triplets = TripletDraw(*(part[some] for part in fixed))
        self._fixed = read_scenes(held_out, triplets, None, 0.0).to(self._device)
        self._fixed_latents: Tensor | None = None

    @torch.no_grad()
    def _swapped(self, scenes: SwapScenes, noise: Tensor) -> Tensor:
        """Swap by the model: normalized latents (N, C, S, S)."""
        found = self._pipeline(
            scenes.target,
            scenes.source,
            num_inference_steps=self._config.steps,
            guidance_scale=1.0,
            noise=noise,
        )
        target = encode_crop(self._vae, self._swap, scenes.target.to(self._dtype)).float()
        return sample_to_latents(self._swap, found.sample.float(), target)

    def _noise(self, count: int, draw: Draw) -> Tensor:
        swap = self._swap
        size = (count, swap.latent_channels, swap.latent_size, swap.latent_size)
        return draw.normal(torch.empty(size, device=self._device))

    def _decode(self, latents: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Decode crops (N, 3, R, R), not clamped, and the logits of alpha (N, 1, R, R)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._config.freeze_decoder):
            decoded = decode_latents(self._vae, self._swap, latents.to(self._dtype), clamp=False)
        crop, logits = self._overlay.with_logits(decoded, target.to(self._dtype))
        return crop.float(), logits.float()

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of random triplets."""
        pictures, losses = self._train, self._config.losses
        triplets = draw_triplets(draw.rng, 2 * len(pictures), pictures.identities, batch_size)
        scenes = read_scenes(pictures, triplets, draw, self._config.augment_share)
        scenes = scenes.to(self._device)
        latents = self._swapped(scenes, self._noise(batch_size, draw))
        clean = torch.from_numpy(draw.rng.random(batch_size) < CLEAN_SHARE)
        if bool(clean.any()):
            which = clean.nonzero()[:, 0].to(self._device)
            with torch.no_grad():
                own = encode_crop(self._vae, self._swap, scenes.truth[which].to(self._dtype))
            latents = latents.index_copy(0, which, own.float())
        crop, logits = self._decode(latents, scenes.target)
        shown = laid_over(crop, torch.sigmoid(logits), scenes.target)
        loss, parts = reconstruction_loss(shown, scenes.truth, scenes.alpha, losses.fine_weight)
        alone = reconstruction_loss(crop, scenes.truth, scenes.alpha, losses.fine_weight)[0]
        alpha = F.binary_cross_entropy_with_logits(logits, scenes.alpha)
        parts["alpha"] = float(alpha.detach())
        loss = loss + losses.crop_weight * alone + losses.alpha_weight * alpha
        return loss + self._adversarial_loss(shown, scenes, parts), parts

    def _adversarial_loss(
        self, shown: Tensor, scenes: SwapScenes, parts: dict[str, float]
    ) -> Tensor:
        """Compute the adversarial losses; the gradient of each reaches that network alone."""
        judge = self._judge
        if judge is None:
            return shown.new_zeros(())
        with frozen(judge):
            real_looking = judge(shown, scenes.alpha).mean()
        real, fake = judge(scenes.truth, scenes.alpha), judge(shown.detach(), scenes.alpha)
        found = hinge([real], [fake])
        parts["discriminator"] = float(found.detach())
        parts["verdict_gap"] = float((real.mean() - fake.mean()).detach())
        return found - self._config.losses.adversarial_weight * real_looking

    def evaluate(self) -> dict[str, float]:
        """Measure fixed held-out swaps, laid over their targets by alpha.

        Returns:
            What `reconstruction_figures` gives; ``psnr_occluded_db``, where something stands before
            the face; ``alpha_error``, the mean distance of alpha to the exact mask.
        """
        scenes = self._fixed
        if self._fixed_latents is None:
            self._fixed_latents = self._swapped(
                scenes, self._noise(len(scenes.target), Draw.of(0, 0))
            )
        found = [
            self._decode(latents, target)
            for latents, target in zip(
                self._fixed_latents.split(16), scenes.target.split(16), strict=True
            )
        ]
        crop, logits = (torch.cat(part) for part in zip(*found, strict=True))
        alpha = torch.sigmoid(logits)
        shown = laid_over(crop.clamp(-1, 1), alpha, scenes.target)
        figures = reconstruction_figures(shown, scenes.truth, scenes.alpha)
        figures["alpha_error"] = float((alpha - scenes.alpha).abs().mean())
        covered = scenes.occluded.sum()
        if float(covered) > 0:
            error = ((shown - scenes.target) / 2).square().mean(1, keepdim=True)
            mean = (error * scenes.occluded).sum() / covered
            figures["psnr_occluded_db"] = float(-10 * torch.log10(mean.clamp(min=1e-6)))
        return figures
