"""The identity encoder in latent space: contrastive, cheap, and never used to judge a result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeswap_compress._conditioner import SourceConditioner
from edgeswap_compress.train._cache import LatentGroups, held_out_triplets
from edgeswap_compress.train._config import IdentityConfig
from edgeswap_compress.train._loop import Draw


class IdentityObjective:
    """InfoNCE (1807.03748) between two pictures of one inner face in different scenes.

    The second picture is the face worn by somebody else (a truth of the dataset) four times in
    five, so that hair, outline and skin tone cannot give the identity away.
    """

    def __init__(
        self,
        conditioner: SourceConditioner,
        config: IdentityConfig,
        train: LatentGroups,
        held_out: LatentGroups,
    ) -> None:
        self._config, self._train, self._held_out = config, train, held_out
        self.module = nn.ModuleDict({"conditioner": conditioner})
        self._scale = nn.Parameter(torch.tensor(2.3))
        self.module.register_parameter("log_scale", self._scale)

    def _embed(self, latents: Tensor) -> Tensor:
        conditioner = self.module["conditioner"]
        assert isinstance(conditioner, SourceConditioner)  # noqa: S101 our own ModuleDict
        dtype = conditioner.position.dtype
        embedding = conditioner.features(latents.to(dtype))[1]
        return embedding.float()

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Symmetric cross-entropy over all identities of ``batch_size // (2 K)`` groups."""
        k, rng = self._train.identities, draw.rng
        n_groups = max(2, min(len(self._train), batch_size // (2 * k)))
        group = np.repeat(rng.choice(len(self._train), n_groups, replace=False), k)
        face = np.tile(np.arange(k), n_groups)
        scene = np.where(
            rng.random(len(face)) < 0.2, face, (face + 1 + rng.integers(k - 1, size=len(face))) % k
        )
        own = np.where(rng.random(len(face)) < 0.5, face, k + face * k + face)
        first = self._train.latents[group, own].float()
        second = self._train.latents[group, k + scene * k + face].float()
        both = torch.cat([first, second])
        both = both + self._config.noise * float(rng.random()) * draw.normal(both)
        a, b = self._embed(both).chunk(2)
        scores = (a @ b.T) * self._scale.float().clamp(1.0, 3.7).exp()
        labels = torch.arange(len(scores))
        loss = (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
        right = (scores.detach().argmax(1) == labels).float().mean()
        return loss, {"batch_top1": float(right)}

    def evaluate(self) -> dict[str, float]:
        """Share of held-out truths whose source is the nearest of all held-out source views."""
        return {"truth_top1": retrieval(self._embed, self._held_out)}


def retrieval(embed: Callable[[Tensor], Tensor], groups: LatentGroups) -> float:
    """Top-1 of truths against the gallery of all source views.

    Args:
        embed: (N, C, S, S) -> (N, V) unit embeddings.
        groups: held-out latents.
    """
    k = groups.identities
    gallery = torch.cat([embed(groups.latents[g, :k]) for g in range(len(groups))])
    t = held_out_triplets(len(groups), k)
    queries = groups.latents[t.group, t.truth]
    found = torch.cat([(embed(q) @ gallery.T).argmax(1) for q in queries.split(256)])
    return float((found == torch.from_numpy(t.group * k + t.identity)).float().mean())
