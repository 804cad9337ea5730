"""The latent autoencoder: diffusers' AutoencoderKL on space-to-depth crops."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.checkpoint.latents import works_normalized
from edgeswap_compress.data import Pictures
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.losses import fine_energy_loss, fine_scale
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.train.augment import apply_look, draw_look
from edgeswap_compress.train.config import AutoencoderConfig


def build_autoencoder(config: AutoencoderConfig, resolution_px: int) -> Any:
    """Build an untrained autoencoder for crops of ``resolution_px``."""
    blocks = len(config.shape.widths)
    return AutoencoderKL(
        in_channels=3 * config.shape.patch_size**2,
        out_channels=3 * config.shape.patch_size**2,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=config.shape.widths,
        layers_per_block=1,
        latent_channels=config.shape.latent_channels,
        norm_num_groups=config.shape.norm_num_groups,
        sample_size=resolution_px // config.shape.patch_size,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def own_latents(vae: Any, patches: Tensor) -> Tensor:
    """Encode patches (N, 3 p p, H, W) to an autoencoder's own latents, not normalized by us."""
    if works_normalized(vae):
        latents: Tensor = vae.encode(patches).latents
    else:
        latents = vae.encode(patches).latent_dist.mean
    return latents


class AutoencoderObjective:
    """Reconstruction of pictures: L1, L2, gradient and fine-scale terms.

    The latents get a little noise while training, so that the decoder tolerates what a sampler
    gives it; a small L2 term keeps their scale (a deterministic stand-in for the KL term of
    2112.10752).

    Args:
        module: what of it requires gradients is trained: all of it, or the decoder alone.
        augment_share: share of the pictures that are seen in a look of their own.
    """

    def __init__(
        self,
        module: Any,
        config: AutoencoderConfig,
        train: Pictures,
        held_out: Pictures,
        augment_share: float = 0.0,
    ) -> None:
        self.module, self._config, self._data = module, config, train
        self._augment_share = augment_share
        self._encoder_learns = any(p.requires_grad for p in module.encoder.parameters())
        self._dtype, self._device = next(module.parameters()).dtype, device_of(module)
        self._held_out, self._held_out_mask = (x.to(self._device) for x in held_out_crops(held_out))

    def _reconstruct(self, crops: Tensor, draw: Draw | None) -> tuple[Tensor, Tensor]:
        patches = F.pixel_unshuffle(crops, self._config.shape.patch_size).to(self._dtype)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._encoder_learns):
            latents = own_latents(self.module, patches)
        if draw is not None:
            noisy = latents + self._config.latent_noise * draw.normal(latents).to(latents.dtype)
        else:
            noisy = latents
        decoded = self.module.decode(noisy).sample
        return latents, F.pixel_shuffle(decoded.float(), self._config.shape.patch_size)

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the reconstruction loss of random pictures, half of the batches mirrored."""
        drawn = draw_crops(self._data, draw, batch_size, self._augment_share)
        crops, mask = (x.to(self._device) for x in drawn)
        latents, output = self._reconstruct(crops, draw)
        loss, parts = reconstruction_loss(output, crops, mask, self._config.fine_weight)
        return loss + 1e-4 * latents.float().square().mean(), parts

    def evaluate(self) -> dict[str, float]:
        """Measure the reconstruction of held-out pictures, see `reconstruction_figures`."""
        crops = self._held_out
        output = torch.cat([self._reconstruct(some, None)[1] for some in crops.split(32)])
        return reconstruction_figures(output, crops, self._held_out_mask)


def held_out_crops(held_out: Pictures) -> tuple[Tensor, Tensor]:
    """Take about 64 pictures (N, 3, R, R) in [-1, 1] of a dataset, and their masks (N, 1, R, R)."""
    step = 1 + held_out.identities if held_out.pictures > 3 else 1
    count = min(len(held_out), 64 // len(range(0, held_out.pictures, step)))
    groups = np.linspace(0, len(held_out) - 1, count).astype(int)
    pictures = [held_out.images(int(g))[::step] for g in groups]
    masks = [held_out.masks(int(g))[::step] for g in groups]
    mask = torch.from_numpy(np.concatenate(masks)).float()[:, None] / 255.0
    return to_tensor(np.concatenate(pictures)), mask


def draw_crops(
    data: Pictures, draw: Draw, n: int, augment_share: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Draw pictures (N, 3, R, R) in [-1, 1] and masks (N, 1, R, R); half the batches mirrored."""
    groups = draw.rng.integers(len(data), size=n)
    places = draw.rng.integers(data.pictures, size=n)
    pairs = list(zip(groups.tolist(), places.tolist(), strict=True))
    pictures = np.stack([data.images(g)[p] for g, p in pairs])
    for i in range(n if augment_share > 0 else 0):
        if draw.rng.random() < augment_share:
            pictures[i] = apply_look(draw_look(draw.rng), pictures[i])
    masks = np.stack([data.masks(g)[p] for g, p in pairs])
    crops, mask = to_tensor(pictures), torch.from_numpy(masks).float()[:, None] / 255.0
    if draw.rng.random() < 0.5:
        crops, mask = crops.flip(3), mask.flip(3)
    return crops, mask


def reconstruction_loss(
    output: Tensor, crops: Tensor, mask: Tensor, fine_weight: float
) -> tuple[Tensor, dict[str, float]]:
    """Measure L1, L2, gradient and fine-scale distance, three times as heavy in the face."""
    weight = 1.0 + 2.0 * mask
    weight = weight / weight.mean()
    error = output - crops
    pixel = (weight * (error.abs() + 0.5 * error.square())).mean()
    across = (weight[..., 1:] * (error[..., 1:] - error[..., :-1]).abs()).mean()
    down = (weight[:, :, 1:] * (error[:, :, 1:] - error[:, :, :-1]).abs()).mean()
    loss = pixel + across + down
    parts = {"pixel": float(pixel.detach())}
    if fine_weight > 0:
        fine = fine_energy_loss(output, crops, weight)
        loss = loss + fine_weight * fine
        parts["fine"] = float(fine.detach())
    return loss, parts


def reconstruction_figures(output: Tensor, crops: Tensor, mask: Tensor) -> dict[str, float]:
    """Measure the PSNR over whole crops and in the mask, in dB, and the fine energy kept there."""
    output = output.clamp(-1, 1)
    error = ((output - crops) / 2).square().mean(1, keepdim=True)
    whole = error.mean((1, 2, 3))
    face = (error * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))
    kept, wanted = ((fine_scale(x).square() * mask).sum() for x in (output, crops))
    return {
        "psnr_db": float(-10 * torch.log10(whole).mean()),
        "psnr_face_db": float(-10 * torch.log10(face).mean()),
        "hf_ratio": float(kept / wanted),
    }
