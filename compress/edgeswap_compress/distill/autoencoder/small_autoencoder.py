"""A small encoder and decoder that work in a large autoencoder's latent space."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.checkpoint.latents import decode_latents, encode_crop
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.target_maps import face_pixels
from edgeswap_compress.data import Pictures
from edgeswap_compress.distill.autoencoder.config import SmallAutoencoderConfig, patch_levels
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.train.autoencoder import (
    draw_crops,
    held_out_crops,
    reconstruction_figures,
    reconstruction_loss,
)

AT_ONCE = 32
"""Pictures of a batch, for the figures."""


def build_small_autoencoder(config: SmallAutoencoderConfig, swap: SwapConfig) -> Any:
    """Build an untrained AutoencoderTiny (TAESD's layers: convolutions and ReLU, no norms).

    Args:
        config: size and seed.
        swap: of the checkpoint whose latents it shall have.

    Raises:
        InvalidSettings: patches of that size do not lead to the latents' size.
    """
    levels = patch_levels(config, swap)
    pixels, widths = 3 * config.size.patch_size**2, (config.size.width,) * levels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.fit.seed)
        module = AutoencoderTiny(
            in_channels=pixels,
            out_channels=pixels,
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
            num_encoder_blocks=(1,) * (levels - 1) + (config.size.encoder_blocks,),
            num_decoder_blocks=(config.size.decoder_blocks,) + (1,) * (levels - 1),
            latent_channels=swap.latent_channels,
        )
    with torch.no_grad():
        module.decoder.layers[-1].bias.fill_(0.5)  # it counts from 0 to 1: begin at mid-gray
    return module


class SmallAutoencoderObjective:
    """Training of a small encoder and decoder together.

    The encoder: the large encoder's normalized latents, in every step. The decoder, in turns:
    pictures from the large encoder's latents with some noise, so that it tolerates what a denoiser
    gives it; and pictures from the small encoder's latents, which teaches both what the other
    makes of its work.

    A model that repaints a masked face looks at masked crops besides: their latents are learned in
    every step too.

    Args:
        vae: the large autoencoder, frozen.
        swap: its checkpoint's config.
    """

    def __init__(
        self,
        module: Any,
        config: SmallAutoencoderConfig,
        vae: Any,
        swap: SwapConfig,
        small: SwapConfig,
        train: Pictures,
        held_out: Pictures,
    ) -> None:
        self.module, self._config, self._data = module, config, train
        self._vae, self._swap, self._small = vae.requires_grad_(False).eval(), swap, small
        self._dtype = next(module.parameters()).dtype
        self._device = device_of(module)
        self._crops, self._mask = (x.to(self._device) for x in held_out_crops(held_out))
        self._kept: Tensor | None = None
        if "masked_target" in swap.input_channels:
            self._kept = 1.0 - face_pixels(swap.mask, swap.resolution_px).to(self._device)

    def _decode(self, latents: Tensor) -> Tensor:
        """Decode without the clamp of ``decode_latents``, which would stop gradients."""
        patches = self.module.decode(latents.to(self._dtype)).sample
        return F.pixel_shuffle(patches.float(), self._small.patch_size)

    def _encode(self, crops: Tensor) -> Tensor:
        """Encode by the small encoder: its own latents."""
        return encode_crop(self.module, self._small, crops.to(self._dtype)).float()

    @torch.no_grad()
    def _large(self, crops: Tensor) -> Tensor:
        """Encode by the large encoder: normalized latents."""
        return encode_crop(self._vae, self._swap, crops.to(self._dtype)).float()

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of random pictures."""
        config = self._config
        crops, mask = (x.to(self._device) for x in draw_crops(self._data, draw, batch_size))
        seen = crops if self._kept is None else torch.cat([crops, crops * self._kept])
        wanted, found = self._large(seen), self._encode(seen)
        apart = (found - wanted).square().mean()
        wanted, found = wanted[:batch_size], found[:batch_size]
        name, latents = "both", found
        if draw.step % 2 == 0:
            noise = config.losses.latent_noise * draw.shares(wanted) * draw.normal(wanted)
            name, latents = "decoder", wanted + noise
        loss, parts = reconstruction_loss(
            self._decode(latents), crops, mask, config.losses.fine_weight
        )
        terms = {f"{name}_{key}": value for key, value in parts.items()}
        return config.losses.latent_weight * apart + loss, {
            **terms,
            "latents": float(apart.detach()),
        }

    def evaluate(self) -> dict[str, float]:
        """Measure each half and the whole against held-out pictures, beside the large one.

        ``latents_gone`` is the share of the large encoder's variance that the small one misses;
        ``masked_latents_gone`` that of masked crops, where the model looks at them.
        """
        found: dict[str, list[Tensor]] = {"large": [], "decoder": [], "both": []}
        for crops in self._crops.split(AT_ONCE):
            wanted = self._large(crops)
            version = decode_latents(self._vae, self._swap, wanted.to(self._dtype)).float()
            found["large"].append(version)
            found["decoder"].append(self._decode(wanted))
            found["both"].append(self._decode(self._encode(crops)))
        figures = {"latents_gone": self._gone(self._crops)}
        if self._kept is not None:
            figures["masked_latents_gone"] = self._gone(self._crops * self._kept)
        for name, pictures in found.items():
            each = reconstruction_figures(torch.cat(pictures), self._crops, self._mask)
            figures |= {f"{name}_{key}": value for key, value in each.items()}
        return figures

    def _gone(self, pictures: Tensor) -> float:
        """Measure the share of the large encoder's variance that the small one misses."""
        missed = total = 0.0
        for crops in pictures.split(AT_ONCE):
            wanted = self._large(crops)
            missed += float((self._encode(crops) - wanted).square().sum())
            total += float(wanted.square().sum())
        return missed / total
