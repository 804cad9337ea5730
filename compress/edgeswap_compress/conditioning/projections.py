"""Project what a recognizer or an image encoder says of a face to cross-attention tokens."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import FeedForward
from diffusers.models.embeddings import IPAdapterPlusImageProjectionBlock
from torch import Tensor, nn

from edgeswap_compress.conditioning.one_token import ExampleProjection, MixedProjection

KINDS = ("linear", "faceid", "faceid_plus", "resampler")
"""Kinds of `TokenProjection`, see there."""

HEAD_WIDTH = 64
"""Width of an attention head of every resampler that is published."""


class TokenProjection(ModelMixin, ConfigMixin):
    """Turn an embedding, or an image encoder's features, into T tokens of width D.

    The names of the weights are those that diffusers gives them. Where ``null`` is set there is
    one more, `null_tokens`: the (1, T, D) tokens that guidance takes (those of a picture of zeros,
    which are not those of features that are zero).

    Args:
        kind: ``"linear"``: one matrix and a norm (IP-Adapter, 2308.06721, section 3.2.1);
            ``"faceid"``: two layers and a norm on a face embedding (IP-Adapter FaceID);
            ``"faceid_plus"``: the tokens of ``"faceid"`` look for detail in the features (FaceID
            Plus, and v2 with the shortcut); ``"resampler"``: learned tokens look into the features
            or into the embedding (IP-Adapter Plus, InstantID 2401.07519; Perceiver, 2103.03206).
        input_size: width of the embedding, or of the features where there is no embedding.
        features_size: width of the features; only for ``"faceid_plus"``.
        tokens: T.
        width: D, the width of the U-Net's cross-attention.
        inner: width inside the two layers, or of the resampler.
        depth: attention layers of the resampler.
        heads: attention heads of the resampler, of 64 channels each.
        shortcut: whether ``"faceid_plus"`` adds its tokens to those before the resampler.
        shortcut_scale: factor of what the resampler adds, with the shortcut.
        null: whether the tokens of guidance are stored.
    """

    @register_to_config
    def __init__(
        self,
        kind: str = "faceid",
        input_size: int = 512,
        features_size: int = 0,
        tokens: int = 4,
        width: int = 768,
        inner: int = 1024,
        depth: int = 0,
        heads: int = 0,
        shortcut: bool = False,
        shortcut_scale: float = 1.0,
        null: bool = False,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"a projection of kind {kind!r}: expected one of {KINDS}")
        if kind == "linear":
            self.image_embeds = nn.Linear(input_size, tokens * width)
            self.norm = nn.LayerNorm(width)
        elif kind == "faceid":
            self.ff = _two_layers(input_size, inner, tokens * width)
            self.norm = nn.LayerNorm(width)
        elif kind == "faceid_plus":
            self.proj = _two_layers(input_size, inner, tokens * width)
            self.norm = nn.LayerNorm(width)
            self._resampler(features_size, width, width, depth, heads)
        else:
            self.latents = nn.Parameter(torch.randn(1, tokens, inner) / inner**0.5)
            self._resampler(input_size, inner, width, depth, heads)
        if null:
            self.null_tokens = nn.Parameter(torch.zeros(1, tokens, width))

    def _resampler(self, given: int, inner: int, width: int, depth: int, heads: int) -> None:
        self.proj_in = nn.Linear(given, inner)
        self.proj_out = nn.Linear(inner, width)
        self.norm_out = nn.LayerNorm(width)
        blocks = [IPAdapterPlusImageProjectionBlock(inner, HEAD_WIDTH, heads) for _ in range(depth)]
        self.layers = nn.ModuleList(blocks)

    @property
    def _settings(self) -> Any:
        return self.config

    def forward(self, given: Tensor, features: Tensor | None = None) -> Tensor:
        """Project a batch.

        Args:
            given: (N, input_size) embeddings; a resampler also takes features (N, L, input_size).
            features: (N, L, features_size), for ``"faceid_plus"`` alone.

        Returns:
            (N, T, D) tokens.
        """
        kind, width = self._settings.kind, self._settings.width
        if kind in ("linear", "faceid"):
            layer = self.image_embeds if kind == "linear" else self.ff
            tokens: Tensor = self.norm(layer(given).reshape(-1, self._count, width))
            return tokens
        if kind == "resampler":
            looked_at = given[:, None] if given.ndim == 2 else given
            return self._look(self.latents.expand(given.shape[0], -1, -1), looked_at)
        if features is None:
            raise ValueError("a faceid_plus projection needs the image encoder's features")
        first: Tensor = self.norm(self.proj(given).reshape(-1, self._count, width))
        found = self._look(first, features)
        return first + self._settings.shortcut_scale * found if self._settings.shortcut else found

    @property
    def _count(self) -> int:
        return int(self._settings.tokens)

    def _look(self, latents: Tensor, features: Tensor) -> Tensor:
        features = self.proj_in(features)
        for block in self.layers:
            latents = block(features, latents, latents)
        answer: Tensor = self.norm_out(self.proj_out(latents))
        return answer


def _two_layers(given: int, inner: int, out: int) -> FeedForward:
    """Linear, GELU, linear."""
    return FeedForward(given, out, inner_dim=inner, activation_fn="gelu")


PROJECTIONS: dict[str, type[Any]] = {
    "TokenProjection": TokenProjection,
    "ExampleProjection": ExampleProjection,
    "MixedProjection": MixedProjection,
}
"""Class, as a config.json names it -> what builds it."""
