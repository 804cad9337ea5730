"""A discriminator that sees noised samples through the frozen teacher's eyes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """One small head for each of the teacher's block outputs, as in ADD (2311.17042, section 3.2).

    Features of the noised sample in the teacher itself stand for an image network, which latents
    have none of (2403.12015). Every convolution is spectrally normalised (1802.05957).

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
        """Verdicts (N, 1, H, W) of each head; above 0 means real."""
        scaled = (f.float() / (f.float().square().mean((1, 2, 3), keepdim=True) + 1e-6).sqrt()
                  for f in features)  # fmt: skip
        return [head(feature) for head, feature in zip(self.heads, scaled, strict=True)]


def hinge(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """The discriminator's loss (1705.02894, eq. 3), mean over the heads."""
    terms = [
        F.relu(1.0 - r).mean() + F.relu(1.0 + f).mean() for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def verdict(logits: list[Tensor]) -> Tensor:
    """Mean over the heads and places: how real."""
    return torch.stack([logit.mean() for logit in logits]).mean()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Gradients pass through the module and leave its own parameters alone."""
    live = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in live:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in live:
            parameter.requires_grad_(True)
