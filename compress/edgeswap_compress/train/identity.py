"""The identity encoder in latent space: contrastive, cheap, and never used to judge a result."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeswap_compress.conditioning.source import SourceConditioner
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.machine.placement import device_of, like_module
from edgeswap_compress.train.config import IdentityConfig
from edgeswap_compress.train.examples import Examples


class IdentityObjective:
    """InfoNCE (1807.03748) between two pictures of one person (see `Pairing.same_person`)."""

    def __init__(
        self,
        conditioner: SourceConditioner,
        config: IdentityConfig,
        train: Examples,
        held_out: Examples,
    ) -> None:
        self._config, self._train, self._held_out = config, train, held_out
        self.module = nn.ModuleDict({"conditioner": conditioner})
        self._scale = nn.Parameter(torch.tensor(2.3, device=device_of(conditioner)))
        self.module.register_parameter("log_scale", self._scale)

    def _embed(self, latents: Tensor) -> Tensor:
        conditioner = self.module["conditioner"]
        assert isinstance(conditioner, SourceConditioner)  # noqa: S101 our own ModuleDict
        embedding = conditioner.features(like_module(conditioner, latents))[1]
        return embedding.float()

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the symmetric cross-entropy over about ``batch_size // 2`` people."""
        both = torch.cat(self._train.same_person(draw, batch_size)).to(self._scale.device)
        both = both + self._config.noise * float(draw.rng.random()) * draw.normal(both)
        a, b = self._embed(both).chunk(2)
        scores = (a @ b.T) * self._scale.float().clamp(1.0, 3.7).exp()
        labels = torch.arange(len(scores), device=scores.device)
        loss = (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
        right = (scores.detach().argmax(1) == labels).float().mean()
        return loss, {"batch_top1": float(right)}

    def evaluate(self) -> dict[str, float]:
        """Measure the share of held-out truths whose source is the nearest of all source views."""
        return {"truth_top1": retrieval(self._embed, self._held_out)}


def retrieval(embed: Callable[[Tensor], Tensor], held_out: Examples) -> float:
    """Measure the share of truths found in the gallery of source views, see `Pairing.likeness`.

    Args:
        embed: (N, C, S, S) -> (N, V) unit embeddings.
        held_out: latents of a held-out set.
    """
    views, queries, answers = held_out.likeness()
    gallery = torch.cat([embed(some) for some in views.split(256)])
    found = torch.cat([(embed(q) @ gallery.T).argmax(1) for q in queries.split(256)])
    return float((found == answers.to(found.device)).float().mean())
