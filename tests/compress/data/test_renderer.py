"""Renderer 3: exactness of the split, alignment, determinism. Needs assets and EGL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeswap_compress.data import dataset_rendering, render_dataset, render_portrait
from edgeswap_compress.data.grid import Group, GroupSettings, triplets
from edgeswap_compress.data.group_rendering import render_group
from edgeswap_compress.data.people._face import expression_moves, identity_shape
from edgeswap_compress.data.people.camera import template
from edgeswap_compress.data.people.expression import neutral_expression
from edgeswap_compress.data.people.head import Head, load_head
from edgeswap_compress.data.people.identity import Adult, draw_identity
from edgeswap_compress.data.people.scene import draw_scene
from edgeswap_compress.data.people.stage import crop_stage, make_person
from edgeswap_compress.data.render3.portrait import portrait_of
from edgeswap_compress.data.render3.renderer import Renderer
from edgeswap_compress.errors import AssetMissing, NoOffscreenRendering

pytestmark = pytest.mark.assets
SETTINGS = GroupSettings(identities=2, seed=11, renderer=3)


@pytest.fixture(scope="module")
def head() -> Head:
    try:
        return load_head()
    except AssetMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def renderer(head: Head) -> Iterator[Renderer]:
    try:
        opened = Renderer(head, size_px=96)
    except NoOffscreenRendering as error:
        pytest.skip(str(error))
    with opened:
        yield opened


@pytest.fixture(scope="module")
def group(renderer: Renderer) -> Group:
    return render_group(renderer, SETTINGS, 0)


def person(head: Head, seed: int) -> Adult:
    return draw_identity(np.random.default_rng(seed), head.sliders, len(head.asymmetries))


def test_the_truth_equals_the_target_outside_the_mask(renderer: Renderer) -> None:
    for number in range(3):
        group = render_group(renderer, replace(SETTINGS, identities=3), number)
        for _, target, truth in triplets(3):
            assert np.array_equal(group.masks[target], group.masks[truth])
            outside = group.masks[truth] == 0
            assert 0.1 < outside.mean() < 0.8
            assert np.array_equal(group.images[target][outside], group.images[truth][outside])
            inside = group.masks[truth] > 200
            change = np.abs(group.images[target].astype(int) - group.images[truth])[inside]
            assert change.mean() > 3, "another person's face must show"


def test_a_group_repeats_bit_for_bit_whatever_was_rendered_before(
    renderer: Renderer, group: Group
) -> None:
    render_group(renderer, SETTINGS, 1)
    again = render_group(renderer, SETTINGS, 0)
    assert np.array_equal(again.images, group.images)
    assert np.array_equal(again.masks, group.masks)
    assert np.array_equal(again.landmarks, group.landmarks)
    other = render_group(renderer, replace(SETTINGS, split="heldout"), 0)
    assert not np.array_equal(other.images, group.images)


def test_landmarks_lie_near_the_template_and_inside_the_mask(group: Group) -> None:
    shift = group.landmarks - template(96)
    assert np.linalg.norm(shift, axis=2).mean() < 6
    at = np.round(group.landmarks).astype(int)
    for mask, points in zip(group.masks, at, strict=True):
        assert mask[points[:, 1], points[:, 0]].min() >= 64


def test_a_person_wearing_their_own_face_is_unchanged(head: Head, renderer: Renderer) -> None:
    someone = make_person(head, person(head, 1))
    expression, scene = neutral_expression(head.units), draw_scene(np.random.default_rng(1))
    stage = crop_stage(head, someone, expression, scene, 96)
    plain, worn = renderer.shoot(stage), renderer.shoot(stage, someone)
    assert np.abs(plain.image.astype(int) - worn.image).max() <= 1


def test_skin_tone_comes_from_the_target(head: Head, renderer: Renderer) -> None:
    light = replace(person(head, 2), races=(0.0, 0.0, 1.0), skin_tint=(0.2, 0.2, 0.2), stubble=0.0)
    dark = replace(person(head, 3), races=(1.0, 0.0, 0.0), skin_tint=(-0.2, -0.2, -0.2))
    dark = replace(dark, stubble=0.0)
    scene = draw_scene(np.random.default_rng(4), frontal=True)
    stage = crop_stage(head, make_person(head, light), neutral_expression(head.units), scene, 96)
    own = renderer.shoot(stage)
    swapped = renderer.shoot(stage, make_person(head, dark))
    inside = own.mask > 250
    ratio = swapped.image[inside].mean() / own.image[inside].mean()
    assert 0.85 < ratio < 1.15


def test_features_are_in_the_mask_and_hair_is_not(head: Head, renderer: Renderer) -> None:
    bald = replace(person(head, 5), hair=None)
    hairy = replace(bald, hair="long01")
    scene = draw_scene(np.random.default_rng(6), frontal=True, jitter=False)
    still = neutral_expression(head.units)
    pictures = [
        renderer.shoot(crop_stage(head, make_person(head, one), still, scene, 96))
        for one in (bald, hairy)
    ]
    eyes = np.round(pictures[0].landmarks[:2]).astype(int)
    assert (pictures[0].mask[eyes[:, 1], eyes[:, 0]] == 255).all()
    assert (pictures[0].mask >= pictures[1].mask).all()
    assert pictures[0].mask.sum() > pictures[1].mask.sum()


def test_the_head_is_an_adult_with_morphs_that_move_it(head: Head) -> None:
    assert len(head.sliders) == len(head.slider_up) > 100 and len(head.units) == 52
    assert not any("baby" in name or "child" in name for name in head.macros)
    shape = identity_shape(head, person(head, 7))
    assert 0.02 < np.abs(shape - head.base).mean() < 0.5
    assert (expression_moves(head, neutral_expression(head.units)) == 0).all()
    assert (head.rim[head.inner > 0] >= head.inner[head.inner > 0]).all()


def test_a_portrait_shows_the_whole_head(head: Head, renderer: Renderer) -> None:
    shown = portrait_of(0, 0, 128)
    swapped = portrait_of(0, 0, 128, worn=1)
    outside = (shown.mask == 0) & (swapped.mask == 0)
    assert np.array_equal(shown.image[outside], swapped.image[outside])
    assert not np.array_equal(shown.image, swapped.image)
    assert shown.landmarks.min() > 20 and shown.landmarks.max() < 108
    scene = draw_scene(np.random.default_rng(0))
    picture = render_portrait(person(head, 1), neutral_expression(head.units), scene, 64, head=head)
    assert picture.image.shape == (64, 64, 3) and picture.mask.shape == (64, 64)


def test_worker_processes_write_the_same_shards(
    renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_rendering, "GROUPS_PER_SHARD", 1)
    here = render_dataset(tmp_path / "here", SETTINGS, 2, workers=0)
    spread = render_dataset(tmp_path / "spread", SETTINGS, 2, workers=2)
    assert spread.manifest == here.manifest
    spread.verify()
