"""Larger crops for a trained model: the same latents, and pixels that can be learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from edgeswap_compress import Checkpoint
from edgeswap_compress.checkpoint.latents import decode_latents, encode_crop
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.distill.autoencoder.config import SmallAutoencoderConfig
from edgeswap_compress.distill.autoencoder.small_autoencoder import build_small_autoencoder
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.config import changed
from edgeswap_compress.train.grow.crops import enlarge_crops


def small_autoencoder(checkpoint: Checkpoint) -> Any:
    config = changed(SmallAutoencoderConfig(), {"size.patch_size": 3, "size.width": 16})
    return build_small_autoencoder(config, checkpoint.swap)


@pytest.mark.parametrize("small", [False, True])
def test_twice_the_pixels_give_the_same_latents(small: bool) -> None:
    before = tiny_checkpoint()
    if small:
        before.vae = small_autoencoder(before).eval()
    after = enlarge_crops(before, 48)
    assert (after.swap.resolution_px, after.swap.patch_size) == (48, 6)
    crops = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    large = F.interpolate(crops, 48, mode="nearest")  # what shrinks to the crops exactly
    with torch.no_grad():
        wanted = encode_crop(before.vae, before.swap, crops)
        found = encode_crop(after.vae, after.swap, large)
        assert torch.allclose(found, wanted, atol=1e-4)
        decoded = decode_latents(after.vae, after.swap, found, clamp=False)
        plain = decode_latents(before.vae, before.swap, wanted, clamp=False)
    assert decoded.shape == (2, 3, 48, 48)
    # enlarging within patches keeps the mean of each
    assert torch.allclose(F.avg_pool2d(decoded, 6), F.avg_pool2d(plain, 3), atol=1e-4)


def test_lengths_grow_with_the_crop() -> None:
    before, after = tiny_checkpoint().swap, enlarge_crops(tiny_checkpoint(), 32).swap
    assert after.patch_size == 4 and after.latent_size == before.latent_size
    for old, new in zip(before.landmarks_px, after.landmarks_px, strict=True):
        assert new == pytest.approx([value * 32 / 24 for value in old])
    assert after.mask.radii_px == pytest.approx([value * 32 / 24 for value in before.mask.radii_px])
    assert after.mask.exponent == before.mask.exponent


def test_an_enlarged_model_is_a_checkpoint(tmp_path: Path) -> None:
    enlarge_crops(tiny_checkpoint(), 32).save(tmp_path / "model")
    assert Checkpoint.load(tmp_path / "model").vae.config.in_channels == 48


@pytest.mark.parametrize(("side", "advice"), [(16, "--size 24"), (36, "--size 40")])
def test_broken_patches_are_refused(side: int, advice: str) -> None:
    with pytest.raises(InvalidSettings, match=advice):
        enlarge_crops(tiny_checkpoint(), side)
