"""Encode source latents to cross-attention tokens and an identity vector."""

from __future__ import annotations

from typing import Any, cast

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from edgeswap_compress._residual import SmallResidual
from edgeswap_compress.conditioning.condition import SOURCE_LATENTS, Condition


class SourceConditioner(ModelMixin, ConfigMixin):
    """Small convolutional encoder with two outputs: a grid of tokens and one identity vector.

    The trunk is first trained contrastively as an identity encoder (InfoNCE, 1807.03748), so that
    the vector means identity before the U-Net ever sees it; both then learn on with the U-Net.

    Args:
        latent_channels, latent_size: shape (C, S) of the source's normalized latents.
        widths: channels at full and at half resolution; the second is the token width D.
        vector_size: V.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 12,
        latent_size: int = 16,
        widths: tuple[int, int] = (96, 192),
        vector_size: int = 128,
    ) -> None:
        super().__init__()
        low, high = widths
        side = latent_size // 2
        self.stem = nn.Sequential(
            nn.Conv2d(latent_channels, low, 3, padding=1),
            nn.ReLU(),
            SmallResidual(low),
            nn.Conv2d(low, high, 3, stride=2, padding=1),
            nn.ReLU(),
            SmallResidual(high),
        )
        self.head = nn.Sequential(
            SmallResidual(high), nn.Conv2d(high, vector_size, 3, stride=2, padding=1), nn.ReLU()
        )
        self.project = nn.Linear(vector_size * ((side + 1) // 2) ** 2, vector_size)
        self.norm = nn.LayerNorm(high)
        self.position = nn.Parameter(torch.randn(1, side * side, high) * 0.02)
        self.null_tokens = nn.Parameter(torch.randn(1, side * side, high) * 0.02)
        self.null_vector = nn.Parameter(torch.zeros(1, vector_size))

    @property
    def _settings(self) -> Any:
        return self.config

    def features(self, source_latents: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the feature map (N, D, S/2, S/2) and the unit identity embedding (N, V)."""
        maps = self.stem(source_latents)
        embedding = self.project(self.head(maps).flatten(1))
        return maps, F.normalize(embedding.float(), dim=1).to(maps.dtype)

    def forward(self, source_latents: Tensor) -> tuple[Tensor, Tensor]:
        """Encode sources.

        Args:
            source_latents: (N, C, S, S), normalized latents of the aligned source crops.

        Returns:
            tokens (N, T, D) and vector (N, V), of unit variance per component.
        """
        maps, embedding = self.features(source_latents)
        tokens = self.norm(maps.flatten(2).transpose(1, 2) + self.position)
        return tokens, embedding * float(self._settings.vector_size) ** 0.5

    def condition(self, source_latents: Tensor) -> Condition:
        """Compute the full condition of a batch of sources (N, C, S, S)."""
        tokens, vector = self(source_latents)
        return Condition(tokens=tokens, vector=vector, maps={SOURCE_LATENTS: source_latents})

    def null(self, n: int) -> Condition:
        """Make the unconditional input of classifier-free guidance for a batch of ``n``."""
        settings = self._settings
        size = (n, settings.latent_channels, settings.latent_size, settings.latent_size)
        zeros = torch.zeros(size, dtype=self.null_tokens.dtype, device=self.null_tokens.device)
        tokens = self.norm(self.null_tokens).expand(n, -1, -1)
        return Condition(
            tokens=cast(Tensor, tokens),
            vector=self.null_vector.expand(n, -1),
            maps={SOURCE_LATENTS: zeros},
        )
