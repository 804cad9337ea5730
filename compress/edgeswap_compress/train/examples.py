"""Batches of training examples, from any kind of folder.

Three kinds of folders meet here: rendered groups with exact truths, a user's triplets, and crops
that say no more than who is in them. Each brings pictures (`data.Pictures`) and a `Pairing`: which
pictures make an example. `Examples` holds the latents of all pictures and turns the plan's
positions into a `ExampleBatch`; encoders, losses and evaluation see batches and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgeswap_compress.errors import TrainingStopped
from edgeswap_compress.fit.latent_cache import LatentGroups
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.losses import face_weights
from edgeswap_compress.fit.pairing import GroupPairing, Pairing, Places
from edgeswap_compress.train._unpaired import unpaired_weights
from edgeswap_compress.train.online import OnlineEncoder


@dataclass(frozen=True, slots=True)
class ExampleBatch:
    """Examples in normalized latents.

    Attributes:
        source, target, truth: (N, C, S, S) float32.
        mask: (N, 1, S, S) float32 in [0, 1], where the swap may change the target.
        exact: (N,) bool; where it fails nobody knows the truth and the target stands in for it.
    """

    source: Tensor
    target: Tensor
    truth: Tensor
    mask: Tensor
    exact: Tensor

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: torch.device) -> ExampleBatch:
        """Move all examples to a device."""
        parts = (self.source, self.target, self.truth, self.mask, self.exact)
        return ExampleBatch(*(part.to(device) for part in parts))

    def pick(self, which: Tensor | slice) -> ExampleBatch:
        """Take some of the examples."""
        parts = (self.source, self.target, self.truth, self.mask, self.exact)
        return ExampleBatch(*(part[which] for part in parts))

    def weights(self, inside: float) -> Tensor:
        """Give loss weights (N, 1, S, S) of mean 1; of pairs with a truth see `face_weights`."""
        known = face_weights(self.mask, inside)
        weight = torch.where(self.exact.view(-1, 1, 1, 1), known, unpaired_weights(self.mask))
        return weight / weight.mean()

    def wanted(self) -> Tensor:
        """Give latents (N, C, S, S) of the wanted identity: the truth's, or the source's."""
        return torch.where(self.exact.view(-1, 1, 1, 1), self.truth, self.source)


class Examples:
    """Cached latents of a folder, and the pairing by which they make batches.

    Args:
        groups: latents and masks of all pictures.
        pairing: which of them make an example.
        online: augments and encodes a share of each batch anew; None: all is cached.
    """

    def __init__(
        self, groups: LatentGroups, pairing: Pairing, online: OnlineEncoder | None = None
    ) -> None:
        self._pairing, self._online, self._groups = pairing, online, len(groups)
        self._latents, self._masks = groups.latents.flatten(0, 1), groups.masks.flatten(0, 1)

    def batch(self, draw: Draw, n: int) -> ExampleBatch:
        """Draw n examples, a function of the draw alone."""
        places, batch = self._drawn(draw, n)
        if self._online is not None:
            count = self._online.count(draw.rng, n)
            some = places.first(count)
            fresh = self._online.examples(draw.rng, some.source, some.target, some.truth)
            for part, encoded in zip((batch.source, batch.target, batch.truth), fresh, strict=True):
                part[:count] = encoded
        return batch

    def cached(self, draw: Draw, n: int) -> ExampleBatch:
        """Draw n examples as `batch` does, but never augmented."""
        return self._drawn(draw, n)[1]

    def placed(self, draw: Draw, n: int) -> tuple[Places, ExampleBatch]:
        """Draw n examples as `cached` does, and tell where in the folder they are."""
        return self._drawn(draw, n)

    def held_out(self, limit: int) -> ExampleBatch:
        """Give the first examples of a held-out set."""
        return self.held_out_placed(limit)[1]

    def held_out_placed(self, limit: int) -> tuple[Places, ExampleBatch]:
        """Give the first examples of a held-out set, and where in the folder they are."""
        places = self._pairing.held_out(self._groups).first(limit)
        return places, self._at(places)

    def same_person(self, draw: Draw, n: int) -> tuple[Tensor, Tensor]:
        """Draw latents (M, C, S, S) of pairs of pictures of one person, each of another."""
        pair = self._pairing.same_person(draw.rng, self._groups, n)
        first, second = (self._latents[where].float() for where in pair)
        if self._online is not None:
            count = self._online.count(draw.rng, len(first))
            for part, where in zip((first, second), pair, strict=True):
                part[:count] = self._online.pictures(draw.rng, where[:count])
        return first, second

    def likeness(self) -> tuple[Tensor, Tensor, Tensor]:
        """Give the latents of gallery and queries of the held-out retrieval, and its answers."""
        task = self._pairing.likeness(self._groups)
        gallery, queries = self._latents[task.gallery], self._latents[task.queries]
        return gallery, queries, torch.from_numpy(task.answers)

    def _drawn(self, draw: Draw, n: int) -> tuple[Places, ExampleBatch]:
        places = self._pairing.draw(draw.rng, self._groups, n)
        return places, self._at(places)

    def _at(self, places: Places) -> ExampleBatch:
        source, target, truth = (
            self._latents[where].float() for where in (places.source, places.target, places.truth)
        )
        mask = torch.maximum(self._masks[places.target], self._masks[places.truth])
        return ExampleBatch(
            source, target, truth, mask.float()[:, None], torch.from_numpy(places.exact)
        )


def rendered(groups: LatentGroups) -> Examples:
    """Make examples of rendered groups, never augmented."""
    return Examples(groups, GroupPairing(groups.identities))


def residual_deviation(train: Examples, samples: int = 4096) -> tuple[float, ...]:
    """Measure the deviation of truth - target of each channel inside the face mask.

    Where no truth is known, the difference of two people's pictures gives the scale.

    Raises:
        TrainingStopped: every truth is its target.
    """
    batch = train.cached(Draw.of(0, 0), samples)
    if not bool(batch.exact.all()):
        batch = batch.pick(~batch.exact)
    residual = (batch.wanted() - batch.target).half().float()
    mean_square = (residual.square() * batch.mask).sum((0, 2, 3)) / batch.mask.sum()
    if float(mean_square.min()) < 1e-8:
        raise TrainingStopped(
            "no truth differs from its target inside the face: expected swaps; check the triplets, "
            "or lower --self-share"
        )
    return tuple(round(float(v), 6) for v in mean_square.sqrt())
