"""Channel sets: allowed widths, and which channels stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeswap_compress.prune.structure._families import tiny_unet
from edgeswap_compress.prune.structure.analysis import analyze
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup, Member


def channels(size: int, **settings: Any) -> ChannelGroup:
    return ChannelGroup(name="set", size=size, members=(), **settings)


def test_widths_are_aligned_and_never_zero() -> None:
    assert channels(30).widths(round_to=8, keep_groups=True) == (30, 24, 16, 8)
    assert channels(32, unit=8).widths(round_to=16, keep_groups=True) == (32, 16)
    assert channels(4).widths(round_to=8, keep_groups=True) == (4,)


def test_widths_keep_every_norms_groups_where_asked() -> None:
    grouped = channels(64, norm_groups=(16, 32), own_groups=16)
    assert grouped.widths(round_to=8, keep_groups=True) == (64, 32)
    assert grouped.widths(round_to=16, keep_groups=False) == (64, 48, 32, 16)


def test_every_norm_group_loses_equally_many_channels() -> None:
    grouped = channels(8, norm_groups=(4,), own_groups=4)
    scores = np.array([9.0, 1, 8, 2, 0, 3, 5, 4])
    assert grouped.select(scores, 4) == (0, 2, 5, 6)
    assert grouped.select(scores, 2) == (0, 6)  # two merged groups of four
    assert grouped.select(scores, 1) == (0,)


def test_without_groups_the_highest_scores_stay_and_ties_go_to_the_lower_index() -> None:
    assert channels(6).select(np.array([1.0, 5, 5, 5, 0, 2]), 2) == (1, 2)


def test_losses_are_shares_of_the_importance() -> None:
    plain = channels(4)
    assert plain.losses(np.array([4.0, 3, 2, 1]), (4, 3, 2, 1)) == pytest.approx([0, 0.1, 0.3, 0.6])
    assert plain.losses(np.zeros(4), (4, 2)) == pytest.approx([0, 0.5])


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 6),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 12),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_selections_have_their_width_and_losses_match_them(
    multiple: int, groups: int, round_to: int, keep_groups: bool, seed: int
) -> None:
    size = multiple * groups * 2
    chosen = channels(size, norm_groups=(groups,), own_groups=groups)
    scores = np.random.default_rng(seed).random(size)
    widths = chosen.widths(round_to=round_to, keep_groups=keep_groups)
    for width, loss in zip(widths, chosen.losses(scores, widths), strict=True):
        kept = chosen.select(scores, width)
        assert len(kept) == width >= 1
        assert list(kept) == sorted(set(kept))
        assert loss == pytest.approx(1 - scores[list(kept)].sum() / scores.sum())
        if keep_groups and width < size:
            per_group = np.histogram(kept, bins=groups, range=(0, size))[0]
            assert set(per_group) == {width // groups}


def test_the_worked_example_is_true() -> None:
    """The example in the docstring of `ChannelGroup`."""
    group = analyze(tiny_unet("swap")).groups[1]
    resnet = "down_blocks.0.resnets.0"
    assert group.name == f"{resnet}.conv1" and group.size == 32
    assert group.norm_groups == (8,) and group.own_groups == 8
    assert set(group.members) == {
        Member(layer=f"{resnet}.conv1", axis="out", length=32, offsets=(0,)),
        Member(layer=f"{resnet}.norm2", axis="out", length=32, offsets=(0,)),
        Member(layer=f"{resnet}.conv2", axis="in", length=32, offsets=(0,)),
        Member(layer=f"{resnet}.time_emb_proj", axis="out", length=64, offsets=(0, 32)),
    }
    channels = np.arange(32)
    assert len(group.select(channels.astype(float), 24)) == 24
    assert all(len({c for c in group.select(channels * 1.0, 24) if c // 4 == n}) == 3
               for n in range(8))  # fmt: skip
