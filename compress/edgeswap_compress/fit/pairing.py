"""Pairings: which pictures of each kind of folder make an example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeswap_compress.data import Pictures
from edgeswap_compress.data.folders import LabeledCrops, TripletFolder
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.latent_cache import TripletDraw, draw_triplets, held_out_triplets

_HELD_OUT_SEED = 0

Positions = NDArray[np.int64]  # (N,), group * P + place in the group


@dataclass(frozen=True, slots=True)
class Places:
    """Positions of a batch of examples; where ``exact`` fails, the truth's is the target's."""

    source: Positions
    target: Positions
    truth: Positions
    exact: NDArray[np.bool_]

    def first(self, n: int) -> Places:
        """Take the first n examples."""
        return Places(self.source[:n], self.target[:n], self.truth[:n], self.exact[:n])


@dataclass(frozen=True, slots=True)
class Likeness:
    """A retrieval task: find the person of each query in a gallery.

    Attributes:
        gallery, queries: positions.
        answers: (Q,) number in the gallery of the query's person.
    """

    gallery: Positions
    queries: Positions
    answers: Positions


class Pairing(Protocol):
    """Which pictures of a folder make an example.

    ``groups`` counts mirrored groups too, which follow the others.
    """

    def draw(self, rng: np.random.Generator, groups: int, n: int) -> Places:
        """Draw a batch."""
        ...

    def held_out(self, groups: int) -> Places:
        """Give the examples that a held-out set is judged by, always the same."""
        ...

    def same_person(
        self, rng: np.random.Generator, groups: int, n: int
    ) -> tuple[Positions, Positions]:
        """Draw about n pictures: pairs of one person, each pair of another."""
        ...

    def likeness(self, groups: int) -> Likeness:
        """Give the retrieval task that the identity encoder is judged by on a held-out set."""
        ...


def pairing_of(pictures: Pictures, self_share: float) -> Pairing:
    """Give the pairing of a folder.

    Args:
        pictures: as `open_pictures` gives them.
        self_share: of labeled crops, share of the pairs of one person.
    """
    if isinstance(pictures, LabeledCrops):
        return LabeledPairing(pictures.people, self_share)
    if isinstance(pictures, TripletFolder):
        return TripletPairing(np.array([row.person for row in pictures.rows], np.int64))
    return GroupPairing(pictures.identities)


def truths_known(pictures: Pictures) -> bool:
    """Tell whether a folder's examples have truths."""
    return not isinstance(pictures, LabeledCrops)


class GroupPairing:
    """Rendered groups: K source views, then K scenes x K faces, every truth exact."""

    def __init__(self, identities: int) -> None:
        self._k = identities
        self._pictures = identities * (identities + 1)

    def _places(self, t: TripletDraw) -> Places:
        source, target, truth = (
            t.group * self._pictures + place for place in (t.source, t.target, t.truth)
        )
        return Places(source, target, truth, np.ones(len(t.group), bool))

    def draw(self, rng: np.random.Generator, groups: int, n: int) -> Places:
        """Draw examples, see `draw_triplets`."""
        return self._places(draw_triplets(rng, groups, self._k, n))

    def held_out(self, groups: int) -> Places:
        """List the held-out examples, see `held_out_triplets`."""
        return self._places(held_out_triplets(groups, self._k))

    def same_person(
        self, rng: np.random.Generator, groups: int, n: int
    ) -> tuple[Positions, Positions]:
        """Draw two pictures of all people of some groups: a natural one, and a swapped one mostly.

        The second picture is the face worn by another four times in five, so that hair, outline
        and skin tone cannot give the identity away.
        """
        k = self._k
        count = max(2, min(groups, n // (2 * k)))
        group = np.repeat(rng.choice(groups, count, replace=False), k)
        face = np.tile(np.arange(k), count)
        scene = np.where(
            rng.random(len(face)) < 0.2, face, (face + 1 + rng.integers(k - 1, size=len(face))) % k
        )
        own = np.where(rng.random(len(face)) < 0.5, face, k + face * k + face)
        begin = group * self._pictures
        return begin + own, begin + k + scene * k + face

    def likeness(self, groups: int) -> Likeness:
        """Search every truth among all source views."""
        views = np.arange(groups)[:, None] * self._pictures + np.arange(self._k)
        t = held_out_triplets(groups, self._k)
        return Likeness(views.ravel(), self._places(t).truth, t.group * self._k + t.identity)


class TripletPairing:
    """A user's triplets: source, target, truth at places 0, 1, 2 of their group."""

    def __init__(self, people: NDArray[np.int64]) -> None:
        self._people = _by_person(people)
        if len(self._people) < 2:
            raise InvalidSettings(
                f"{len(people)} triplets of {len(self._people)} person: expected at least 2 people"
            )
        self._person = people

    @staticmethod
    def _places(rows: Positions) -> Places:
        return Places(3 * rows, 3 * rows + 1, 3 * rows + 2, np.ones(len(rows), bool))

    def draw(self, rng: np.random.Generator, groups: int, n: int) -> Places:
        """Draw any triplets."""
        return self._places(rng.integers(groups, size=n))

    def held_out(self, groups: int) -> Places:
        """List all triplets, in order."""
        return self._places(np.arange(groups))

    def same_person(
        self, rng: np.random.Generator, groups: int, n: int
    ) -> tuple[Positions, Positions]:
        """Draw source and truth of one triplet of each of some people."""
        chosen = _some_people(rng, self._people, n // 2)
        rows = np.array([rng.choice(own) for own in chosen], np.int64)
        rows = rows + _mirrored(rng, groups, len(self._person), len(rows))
        return 3 * rows, 3 * rows + 2

    def likeness(self, groups: int) -> Likeness:
        """Search every truth among one source of each person."""
        gallery = np.array([own[0] for own in self._people], np.int64)
        return Likeness(3 * gallery, 3 * np.arange(groups) + 2, self._person[:groups])


class LabeledPairing:
    """Crops of known people: pairs of one person, whose truth is the target, and of two.

    Nobody knows the truth of a pair of two people; it is ``exact`` in the first kind alone.
    """

    def __init__(self, people: NDArray[np.int64], self_share: float) -> None:
        self._person, self._people, self._self_share = people, _by_person(people), self_share

    def with_share(self, self_share: float) -> LabeledPairing:
        """Copy with another share of pairs of one person."""
        return LabeledPairing(self._person, self_share)

    def draw(self, rng: np.random.Generator, groups: int, n: int) -> Places:
        """Draw pairs; every person is a target as often as any other."""
        count = len(self._people)
        targets = rng.integers(count, size=n)
        alone = rng.random(n) < self._self_share
        others = (targets + 1 + rng.integers(count - 1, size=n)) % count
        target, source = np.empty(n, np.int64), np.empty(n, np.int64)
        for i in range(n):
            own = self._people[targets[i]]
            if alone[i]:  # of a person with one picture, that picture twice
                target[i], source[i] = rng.choice(own, 2, replace=len(own) < 2)
            else:
                target[i], source[i] = rng.choice(own), rng.choice(self._people[others[i]])
        flip = _mirrored(rng, groups, len(self._person), n)
        return Places(source + flip, target + flip, target + flip, alone)

    def held_out(self, groups: int) -> Places:
        """List each picture once as a target, with sources drawn once and for all."""
        return self.draw(np.random.default_rng(_HELD_OUT_SEED), groups, groups)

    def same_person(
        self, rng: np.random.Generator, groups: int, n: int
    ) -> tuple[Positions, Positions]:
        """Draw two pictures of each of some people."""
        chosen = _some_people(rng, self._people, n // 2)
        pairs = np.array([rng.choice(own, 2, replace=False) for own in chosen], np.int64)
        flips = [_mirrored(rng, groups, len(self._person), len(pairs)) for _ in range(2)]
        return pairs[:, 0] + flips[0], pairs[:, 1] + flips[1]

    def likeness(self, groups: int) -> Likeness:
        """Search every person's other pictures among everybody's first."""
        gallery = np.array([own[0] for own in self._people], np.int64)
        queries = np.setdiff1d(np.arange(groups), gallery)
        return Likeness(gallery, queries, self._person[queries])


def _by_person(people: NDArray[np.int64]) -> list[Positions]:
    """List the rows of each person, 0 to the last."""
    return [np.flatnonzero(people == person) for person in range(int(people.max()) + 1)]


def _some_people(rng: np.random.Generator, people: list[Positions], wanted: int) -> list[Positions]:
    count = min(len(people), max(2, wanted))
    return [people[i] for i in rng.choice(len(people), count, replace=False)]


def _mirrored(rng: np.random.Generator, groups: int, plain: int, n: int) -> Positions:
    """Draw the offset to the mirrored copy of a group, or 0."""
    return plain * rng.integers(groups // plain, size=n)
