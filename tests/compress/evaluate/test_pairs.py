"""The held-out pair list: which triplets, in what order, under which hash."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeswap_compress.evaluate._errors import InvalidEvaluation, PairsMismatch
from edgeswap_compress.evaluate._pairs import PairList, held_out_pairs


@dataclasses.dataclass
class Empty:
    """A dataset of which only the shape matters."""

    groups: int = 5
    identities: int = 4
    seed: int = 0
    digest: str = "d1"

    @property
    def recipe(self) -> dict[str, int]:
        return {"groups": self.groups, "seed": self.seed}

    def __len__(self) -> int:
        return self.groups

    def images(self, group: int, /) -> np.ndarray:
        raise AssertionError("a pair list looks at no picture")

    masks = images


@pytest.fixture
def pairs() -> PairList:
    return held_out_pairs(Empty())


def test_every_ordered_pair_of_people_occurs_once(pairs: PairList) -> None:
    assert len(pairs) == 5 * 4 * 3
    seen = set(zip(pairs.source_person.tolist(), pairs.target_person.tolist(), strict=True))
    expected = {
        (g * 4 + a, g * 4 + b) for g in range(5) for a in range(4) for b in range(4) if a != b
    }
    assert seen == expected


def test_positions_mean_what_the_dataset_says(pairs: PairList) -> None:
    scene = pairs.target_person % 4
    assert (pairs.source == pairs.source_person % 4).all()
    assert (pairs.target == 4 + 4 * scene + scene).all()
    assert (pairs.truth == 4 + 4 * scene + pairs.source).all()


def test_the_first_pairs_spread_over_groups_and_people(pairs: PairList) -> None:
    first = pairs.first(5)
    assert sorted(first.group.tolist()) == [0, 1, 2, 3, 4]
    assert len(set(first.target_person % 4)) == 4
    twenty = pairs.first(20)
    assert np.bincount(twenty.group).tolist() == [4] * 5
    # four pairs of a group show four targets
    assert len(set(twenty.target_person.tolist())) == 20


def test_a_longer_list_begins_with_the_shorter(pairs: PairList) -> None:
    assert (pairs.first(30).pick(slice(7)).truth == pairs.first(7).truth).all()


def test_the_hash_is_pinned() -> None:
    # what others quote beside their figures must not change by accident
    expected = "c7efd7c55dba2114e70d1d588e175b2efc63b4096e9c6948d0e299a14263b4cf"
    assert held_out_pairs(Empty(groups=2, identities=2)).sha256 == expected


def test_the_hash_catches_a_shuffled_list(pairs: PairList) -> None:
    order = np.random.default_rng(0).permutation(len(pairs))
    shuffled = pairs.pick(order)
    assert sorted(shuffled.source_person) == sorted(pairs.source_person)
    pairs.check(pairs.sha256)
    with pytest.raises(
        PairsMismatch, match=rf"sha256 {shuffled.sha256}, expected {pairs.sha256}: .*--limit"
    ):
        shuffled.check(pairs.sha256)


def test_the_hash_tells_datasets_and_limits_apart(pairs: PairList) -> None:
    other = held_out_pairs(Empty(seed=1))
    assert len({pairs.sha256, other.sha256, pairs.first(59).sha256}) == 3
    assert held_out_pairs(Empty()).sha256 == pairs.sha256


def test_the_hash_knows_no_pixel(pairs: PairList) -> None:
    # another machine's renders of one recipe may differ in the last bit, its pairs may not
    assert held_out_pairs(Empty(digest="d2")).sha256 == pairs.sha256


@pytest.mark.parametrize("limit", [0, -1, 61])
def test_an_impossible_limit(pairs: PairList, limit: int) -> None:
    with pytest.raises(InvalidEvaluation, match=rf"a limit of {limit} pairs: expected 1 to 60"):
        pairs.first(limit)


def test_no_limit_means_all(pairs: PairList) -> None:
    assert len(pairs.first(None)) == 60


def test_noise_belongs_to_the_pair(pairs: PairList) -> None:
    every = pairs.noise(0, (4, 3, 3))
    assert every.shape == (60, 4, 3, 3) and every.dtype == np.float32
    assert abs(float(every.mean())) < 0.1 and abs(float(every.std()) - 1) < 0.1
    few = pairs.pick(np.array([8, 3])).noise(0, (4, 3, 3))
    assert (few == every[[8, 3]]).all()
    assert len(np.unique(every[:, 0, 0, 0])) == 60
    assert (pairs.noise(1, (4, 3, 3)) != every).any()
