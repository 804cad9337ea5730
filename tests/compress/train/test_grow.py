"""Growing the latents changes nothing that a model computes, and leaves nothing dead."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeswap_compress import Checkpoint
from edgeswap_compress.checkpoint.latents import decode_latents, decode_sample, encode_crop
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.train._widen_latents import widen_latents


def swap_once(checkpoint: Checkpoint, noise: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    target, source = (torch.rand(2, 3, 24, 24, generator=generator) * 2 - 1 for _ in range(2))
    swap, vae = checkpoint.swap, checkpoint.vae
    latents = encode_crop(vae, swap, target)
    condition = checkpoint.conditioner.condition(encode_crop(vae, swap, source))
    seen = TargetMaps(latents)
    output = checkpoint.denoiser().predict(noise, torch.tensor(900), seen, condition)
    return decode_sample(vae, swap, -output, latents)


def test_a_grown_model_swaps_as_before() -> None:
    small = tiny_checkpoint()
    large = widen_latents(small, 6)
    assert large.swap.latent_channels == 6
    assert large.unet.config.in_channels == 18
    noise = torch.randn(2, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = swap_once(small, noise[:, :4]), swap_once(large, noise)
    # the same sums over other lengths: float32 rounding
    assert torch.allclose(before, after, atol=2e-5)


def test_every_new_weight_learns() -> None:
    large = widen_latents(tiny_checkpoint(), 6)
    crops = torch.rand(2, 3, 24, 24) * 2 - 1
    large.vae.requires_grad_(True).train()
    optimizer = torch.optim.SGD(large.vae.parameters(), 1e-2)
    for _ in range(2):  # what reads the new channels moves first, then what writes them
        optimizer.zero_grad()
        latents = encode_crop(large.vae, large.swap, crops)
        (decode_latents(large.vae, large.swap, latents) - crops).square().mean().backward()
        optimizer.step()
    assert (large.vae.decoder.conv_in.weight.grad[:, 4:].abs().amax((0, 2, 3)) > 0).all()
    assert (large.vae.quant_conv.weight.grad[4:6].abs().amax((1, 2, 3)) > 0).all()


def test_a_grown_model_is_a_checkpoint(tmp_path: Path) -> None:
    widen_latents(tiny_checkpoint(), 6).save(tmp_path / "grown")
    assert Checkpoint.load(tmp_path / "grown").vae.config.latent_channels == 6


def test_fewer_channels_are_refused() -> None:
    with pytest.raises(InvalidSettings, match="latents of 3 channels from 4"):
        widen_latents(tiny_checkpoint(), 3)
