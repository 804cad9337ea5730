"""Discriminators of noised samples, on the teacher's features, and of decoded pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from edgeswap_compress.fit.losses import fine_scale

MAGNIFIED = 16.0
"""The finest scale of skin is some hundredths; normalized layers cannot magnify it themselves."""

GAIN = 4.0
"""Of a picture's verdicts, for the same reason."""


class Discriminator(nn.Module):
    """Discriminator on the teacher's block outputs, one head each (ADD, 2311.17042, section 3.2).

    Features of the noised sample in the teacher itself stand for an image network, which latents
    have none of (2403.12015). Every convolution is spectrally normalized (1802.05957).

    Args:
        widths: channels of each block output.
        hidden: channels inside each head.
        seed: of the weights.
    """

    def __init__(self, widths: list[int], hidden: int = 64, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = nn.ModuleList(
                nn.Sequential(
                    spectral_norm(nn.Conv2d(width, hidden, 1)),
                    nn.LeakyReLU(0.2),
                    spectral_norm(nn.Conv2d(hidden, hidden, 3, padding=1)),
                    nn.LeakyReLU(0.2),
                    spectral_norm(nn.Conv2d(hidden, 1, 1)),
                )
                for width in widths
            )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Judge samples: verdicts (N, 1, H, W) of each head; above 0 means real."""
        scaled = (f.float() / (f.float().square().mean((1, 2, 3), keepdim=True) + 1e-6).sqrt()
                  for f in features)  # fmt: skip
        return [head(feature) for head, feature in zip(self.heads, scaled, strict=True)]


class PictureDiscriminator(nn.Module):
    """Discriminator of pictures: tells of each place whether it is a truth's or was decoded.

    Verdicts on patches of about 20 px a side (1611.07004, section 3.2.2), because what a blur lacks
    is local; the finest scale is shown besides, magnified. Every convolution is spectrally
    normalized (1802.05957). Its weights are float32.

    Args:
        hidden: channels of the first layer, of which the next have half as many again.
        seed: of the weights.
        dtype: that it computes in, float32 or bfloat16.
    """

    def __init__(self, hidden: int = 64, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self._shorter = dtype == torch.bfloat16
        wide = hidden + hidden // 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.PixelUnshuffle(2),
                spectral_norm(nn.Conv2d(16, hidden, 3, padding=1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(hidden, wide, 3, stride=2, padding=1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(wide, wide, 3, padding=1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(wide, 1, 1)),
            )

    def forward(self, crops: Tensor, mask: Tensor) -> Tensor:
        """Judge pictures: verdicts (N,); above 0 means real.

        Args:
            crops: (N, 3, R, R) in [-1, 1].
            mask: (N, 1, R, R) in [0, 1], the places that count.
        """
        seen = torch.cat([crops, MAGNIFIED * fine_scale(crops)], 1)
        height, width = seen.shape[2:]
        seen = F.pad(seen, (0, width % 2, 0, height % 2), mode="replicate")
        with torch.autocast(crops.device.type, torch.bfloat16) if self._shorter else nullcontext():
            found = self.layers(seen.contiguous(memory_format=torch.channels_last)).float()
        weight = F.adaptive_avg_pool2d(mask, found.shape[2:])
        total: Tensor = (GAIN * found * weight).sum((1, 2, 3)) / (weight.sum((1, 2, 3)) + 1e-6)
        return total


def hinge(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Compute the discriminator's loss (1705.02894, eq. 3), mean over the heads."""
    terms = [
        F.relu(1.0 - r).mean() + F.relu(1.0 + f).mean() for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def verdict(logits: list[Tensor]) -> Tensor:
    """Average the verdicts over the heads and places: how real."""
    return torch.stack([logit.mean() for logit in logits]).mean()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let gradients pass through a module and leave its own parameters alone."""
    live = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in live:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in live:
            parameter.requires_grad_(True)
