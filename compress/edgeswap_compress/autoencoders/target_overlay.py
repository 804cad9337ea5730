"""Second half of a decoder: look at the decoded crop beside the target, and say where it belongs.

An autoencoder's latents cannot hold every hair, and need not: the target is at hand when a swap is
decoded. A decoder that sees it (as the one of diffusers' AsymmetricAutoencoderKL, 2306.04632, does)
can leave the target's own pixels where something stands before the face, and match its edges.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from edgeswap_compress._residual import SmallResidual

USUAL_ALPHA_LOGIT = 2.0
"""Where an untrained network begins: alpha 0.88 everywhere, and the crop as it was decoded."""


class TargetOverlay(ModelMixin, ConfigMixin):
    """Small U-shaped network: decoded crop and target in, corrected crop and alpha out.

    It works on patches, as the autoencoder does, so that most of it is at a few pixels a cell, and
    it follows any autoencoder: what comes in are two pictures.

    Args:
        patch_size: side of the patches, pixels; the crop's side is a multiple of it times 2 for
            each width after the first.
        widths: channels at each level; every level has half the size of the one before.
    """

    @register_to_config
    def __init__(self, patch_size: int = 4, widths: tuple[int, ...] = (32, 64, 96)) -> None:
        super().__init__()
        pixels, first = patch_size**2, widths[0]
        levels = list(itertools.pairwise(widths))
        self.read = nn.Conv2d(6 * pixels, first, 3, padding=1)
        self.enter = nn.ModuleList(SmallResidual(width) for width in widths[:-1])
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in levels)
        self.middle = SmallResidual(widths[-1])
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in levels)
        self.leave = nn.ModuleList(SmallResidual(width) for width in widths[:-1])
        self.write = nn.Conv2d(first, 4 * pixels, 3, padding=1)
        nn.init.zeros_(self.write.weight)
        logits = torch.tensor([0.0] * 3 + [USUAL_ALPHA_LOGIT]).repeat_interleave(pixels)
        self.write.bias = nn.Parameter(logits)

    @property
    def _settings(self) -> Any:
        return self.config

    @property
    def side_multiple(self) -> int:
        """Give the number of pixels whose multiple a crop's side has to be."""
        return int(self._settings.patch_size) * 2 ** (len(self._settings.widths) - 1)

    def with_logits(self, decoded: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compute crop and the logits of alpha, as a loss wants them.

        Args:
            decoded: (N, 3, R, R) RGB, about [-1, 1], from the autoencoder.
            target: (N, 3, R, R) RGB in [-1, 1].

        Returns:
            crop (N, 3, R, R), not clamped, and logits (N, 1, R, R).
        """
        patch = int(self._settings.patch_size)
        x = F.relu(self.read(F.pixel_unshuffle(torch.cat([decoded, target], 1), patch)))
        kept = []
        for block, smaller in zip(self.enter, self.down, strict=True):
            x = block(x)
            kept.append(x)
            x = F.relu(smaller(x))
        x = self.middle(x)
        for level in reversed(range(len(kept))):
            larger = F.interpolate(self.up[level](x), scale_factor=2.0, mode="nearest")
            x = self.leave[level](F.relu(larger + kept[level]))
        change = F.pixel_shuffle(self.write(x), patch)
        return decoded + change[:, :3], change[:, 3:]

    def forward(self, decoded: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Correct a decoded crop and say where it replaces the target.

        Args:
            decoded: (N, 3, R, R) RGB in [-1, 1].
            target: (N, 3, R, R) RGB in [-1, 1].

        Returns:
            crop (N, 3, R, R) RGB in [-1, 1] and alpha (N, 1, R, R) in [0, 1]: 1 where the crop
            replaces, 0 where the target's own pixels stay.
        """
        crop, logits = self.with_logits(decoded, target)
        return crop.clamp(-1.0, 1.0), torch.sigmoid(logits)


def laid_over(crop: Tensor, alpha: Tensor | None, target: Tensor) -> Tensor:
    """Lay crops (N, 3, R, R) over targets by alpha (N, 1, R, R); None replaces everything."""
    return crop if alpha is None else target + alpha * (crop - target)
