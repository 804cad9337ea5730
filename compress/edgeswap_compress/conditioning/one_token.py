"""Make the one token of models in Paint by Example's layout: of an image, or of several features.

Behind the image encoder stands a transformer that reads a single token. Its attention has one
weight, which is 1, so that only values are computed (Paint by Example, 2211.13227, section 3.1).
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F


class TokenBlock(nn.Module):
    """One transformer block for a single token: value, then two layers, each added to the token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, token: Tensor) -> Tensor:
        """Change tokens (N, W)."""
        token = token + self.out(self.value(self.ln_1(token)))
        answer: Tensor = token + self.down(F.gelu(self.up(self.ln_2(token))))
        return answer


class ExampleProjection(ModelMixin, ConfigMixin):
    """Turn an image encoder's pooled output into one token, as Paint by Example does.

    Its parameter `null_tokens` is the token that guidance takes.

    Args:
        input_size: width of the pooled output.
        width: D, the width of the U-Net's cross-attention.
        depth: blocks of the mapper.
        tokens: always 1.
        null: always true, since guidance's token is stored.
    """

    @register_to_config
    def __init__(
        self,
        input_size: int = 1024,
        width: int = 768,
        depth: int = 5,
        tokens: int = 1,
        null: bool = True,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([TokenBlock(input_size) for _ in range(depth)])
        self.norm = nn.LayerNorm(input_size)
        self.project = nn.Linear(input_size, width)
        self.null_tokens = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, pooled: Tensor) -> Tensor:
        """Project (N, input_size) to (N, 1, D)."""
        for block in self.blocks:
            pooled = block(pooled)
        token: Tensor = self.project(self.norm(pooled))
        return token[:, None]


class MixedProjection(ModelMixin, ConfigMixin):
    """Turn what is known of source and target into one token: a weighted mean, as REFace does.

    The source's picture says who it is, the target's how the face looks there, a recognizer's
    embedding who it is, and the target's landmarks where the features lie. `null_tokens` is the
    token that guidance takes.

    Args:
        input_size: width of the image encoder's pooled output.
        inner: width behind its projection.
        width: D, the width of the U-Net's cross-attention.
        depth: blocks of the mapper.
        identity_size: of the embedding.
        landmarks_size: numbers of the landmarks; 0 leaves them out.
        weights: of pictures, embedding and landmarks.
        tokens: always 1.
        null: always true, since guidance's token is stored.
    """

    @register_to_config
    def __init__(
        self,
        input_size: int = 1024,
        inner: int = 768,
        width: int = 768,
        depth: int = 5,
        identity_size: int = 512,
        landmarks_size: int = 136,
        weights: tuple[float, float, float] = (1.0, 10.0, 0.05),
        tokens: int = 1,
        null: bool = True,
    ) -> None:
        super().__init__()
        self.visual = nn.Linear(input_size, inner, bias=False)
        self.blocks = nn.ModuleList([TokenBlock(inner) for _ in range(depth)])
        self.norm = nn.LayerNorm(inner)
        self.source, self.target = nn.Linear(inner, width), nn.Linear(inner, width)
        self.identity = nn.Linear(identity_size, width)
        if landmarks_size:
            self.landmarks = nn.Linear(landmarks_size, width)
        self.null_tokens = nn.Parameter(torch.zeros(1, 1, width))

    @property
    def _settings(self) -> Any:
        return self.config

    def forward(
        self, source: Tensor, target: Tensor, embedding: Tensor, landmarks: Tensor | None = None
    ) -> Tensor:
        """Mix a batch of features.

        Args:
            source: (N, input_size), pooled output of the source's picture.
            target: (N, input_size), of the target's.
            embedding: (N, identity_size) of the source.
            landmarks: (N, landmarks_size) of the target, pixels of its crop.

        Returns:
            (N, 1, D).
        """
        picture, identity, place = self._settings.weights
        mixed = picture * (self.source(self._map(source)) + self.target(self._map(target)))
        mixed = mixed + identity * self.identity(embedding)
        whole = picture + identity
        if self._settings.landmarks_size:
            if landmarks is None:
                raise ValueError("this projection needs the target's landmarks")
            mixed, whole = mixed + place * self.landmarks(landmarks), whole + place
        token: Tensor = mixed / whole
        return token[:, None]

    def _map(self, pooled: Tensor) -> Tensor:
        value: Tensor = self.visual(pooled)
        for block in self.blocks:
            value = block(value)
        answer: Tensor = self.norm(value)
        return answer
