"""Pairs that a student learns from: pictures of a folder, and what each swap should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgeswap_compress.data import Pictures
from edgeswap_compress.data.folders import LabeledCrops
from edgeswap_compress.fit.latent_cache import LatentGroups, to_tensor
from edgeswap_compress.fit.pairing import GroupPairing, LabeledPairing, Pairing, Places


@dataclass(frozen=True, slots=True)
class Answers:
    """Swaps of the teacher, for pairs whose truth nobody knows.

    Attributes:
        places: the M pairs.
        latents: (M, C, S, S) float16, the swaps in the teacher's normalized latents.
    """

    places: Places
    latents: Tensor


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pairs of one draw.

    Attributes:
        places: positions of source, target and truth; of an answered pair the truth's is no use.
        answer: (N,) number of the teacher's answer that is the truth; -1 where a picture is.
    """

    places: Places
    answer: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSet:
    """Pairs of a folder, in the latents of teacher and student.

    Attributes:
        known: latents of all pictures by the teacher's autoencoder.
        own: the same by the student's; the same object where they have one.
        pairing: which pictures make a pair; None for rendered groups.
        answers: the teacher's, where some pairs have no truth.
        features, own_features: what else teacher and student see of each picture, see `Sight`.
    """

    known: LatentGroups
    own: LatentGroups
    pairing: Pairing | None = None
    answers: Answers | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)
    own_features: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def has_truths(self) -> bool:
        """Tell whether every pair has a truth; photographs of people have none."""
        return not isinstance(self.pairing, LabeledPairing)

    def draw(self, rng: np.random.Generator, n: int) -> Drawn:
        """Draw pairs whose truth is known, or that the teacher has answered."""
        places = self._pairing.draw(rng, len(self.known), n)
        answer = np.full(n, -1, np.int64)
        if places.exact.all():
            return Drawn(places, answer)
        if self.answers is None:  # nobody was asked yet: the target stands in
            return Drawn(places, answer)
        asked = self.answers.places
        answer = np.where(places.exact, -1, rng.integers(len(asked.exact), size=n))
        mixed = Places(
            source=np.where(places.exact, places.source, asked.source[answer]),
            target=np.where(places.exact, places.target, asked.target[answer]),
            truth=np.where(places.exact, places.truth, asked.target[answer]),
            exact=places.exact,
        )
        return Drawn(mixed, answer)

    def exact(self, rng: np.random.Generator, n: int) -> Drawn:
        """Draw pairs whose truth is a picture: of photographs, two of one person."""
        pairing = self._pairing
        if isinstance(pairing, LabeledPairing):
            pairing = pairing.with_share(1.0)
        return Drawn(pairing.draw(rng, len(self.known), n), np.full(n, -1, np.int64))

    def unanswered(self, rng: np.random.Generator, n: int) -> Drawn:
        """Draw pairs for the teacher to answer: of photographs, two of different people."""
        pairing = self._pairing
        if isinstance(pairing, LabeledPairing):
            pairing = pairing.with_share(0.0)
        return Drawn(pairing.draw(rng, len(self.known), n), np.full(n, -1, np.int64))

    def truths(self, drawn: Drawn, device: torch.device) -> Tensor:
        """Read the wanted latents (N, C, S, S) float32, of the teacher's space."""
        found = self.known.at(drawn.places.truth, device)
        if self.answers is None:
            return found
        answered = torch.from_numpy(drawn.answer >= 0).to(device)
        theirs = self.answers.latents[drawn.answer.clip(min=0)].to(device).float()
        return torch.where(answered.view(-1, 1, 1, 1), theirs, found)

    def masks(self, places: Places, device: torch.device) -> Tensor:
        """Read the faces of target and truth of pairs: (N, 1, S, S) float32 in [0, 1]."""
        both = (self.known.mask_at(x, device) for x in (places.target, places.truth))
        return torch.maximum(*both)

    @property
    def _pairing(self) -> Pairing:
        return self.pairing or GroupPairing(self.known.identities)


def needs_answers(pictures: Pictures) -> bool:
    """Tell whether a folder has pairs without a truth, which the teacher must answer."""
    return isinstance(pictures, LabeledCrops)


def pixels_at(pictures: Pictures, positions: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read pictures at positions (N,): (N, R, R, 3) RGB, and their masks (N, R, R).

    Groups beyond the folder's are its mirrored ones.
    """
    crops, masks = [], []
    for position in positions.tolist():
        group, place = divmod(position, pictures.pictures)
        mirrored, group = divmod(group, len(pictures))
        crop, mask = pictures.images(group)[place], pictures.masks(group)[place]
        crops.append(crop[:, ::-1] if mirrored else crop)
        masks.append(mask[:, ::-1] if mirrored else mask)
    return np.stack(crops), np.stack(masks)


def truth_pixels(pictures: Pictures, drawn: Drawn) -> tuple[Tensor, Tensor]:
    """Read the truths of pairs (N, 3, R, R) in [-1, 1], and their masks (N, 1, R, R)."""
    crops, masks = pixels_at(pictures, drawn.places.truth)
    return to_tensor(crops), torch.from_numpy(masks).float()[:, None] / 255.0


def taken(drawn: Drawn, which: NDArray[np.int64]) -> Drawn:
    """Take some of the pairs, in the order of ``which`` (N,)."""
    p = drawn.places
    places = Places(p.source[which], p.target[which], p.truth[which], p.exact[which])
    return Drawn(places, drawn.answer[which])
