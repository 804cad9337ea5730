"""Renderer 4: exact masks, records, the same scene in another light. Needs assets and EGL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeswap_compress.data import dataset_rendering, render_dataset
from edgeswap_compress.data.grid import Group, GroupSettings, triplets
from edgeswap_compress.data.group_rendering import render_group
from edgeswap_compress.data.occluders.hands import Hand, bend, load_hand
from edgeswap_compress.data.people.head import Head, load_head
from edgeswap_compress.data.render import groups
from edgeswap_compress.data.render.film import Film, develop, grain_of
from edgeswap_compress.data.render.groups import Shot, draw_person, shoot_scene
from edgeswap_compress.data.render.studio import Studio
from edgeswap_compress.errors import AssetMissing, InvalidSettings, NoOffscreenRendering
from edgeswap_runtime.errors import EdgeswapFailure

pytestmark = pytest.mark.assets
SETTINGS = GroupSettings(identities=2, seed=11, size_px=64)


@pytest.fixture(scope="module")
def head() -> Head:
    try:
        return load_head(version=4)
    except AssetMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def hand(head: Head) -> Hand:
    return load_hand()


@pytest.fixture(scope="module")
def studio(head: Head) -> Iterator[Studio]:
    try:
        opened = Studio(head, size_px=64)
    except NoOffscreenRendering as error:
        pytest.skip(str(error))
    with opened:
        yield opened


@pytest.fixture(scope="module")
def group(studio: Studio) -> Group:
    return render_group(studio, SETTINGS, 0)


def odds(monkeypatch: pytest.MonkeyPatch, **chosen: float) -> None:
    """Make occluders certain or impossible."""
    none = dict.fromkeys(groups.TARGET_ODDS, 0.0)
    monkeypatch.setattr(groups, "TARGET_ODDS", {**none, **chosen})


def scene(studio: Studio, seed: int, *, light: str = "normal") -> tuple[Shot, Shot]:
    """The same random scene with the wearer's own face, and with another's too."""
    rng = np.random.default_rng([seed, 1])
    wearer, other = draw_person(studio.head, rng), draw_person(studio.head, rng)
    shots = [
        shoot_scene(studio, np.random.default_rng(seed), wearer, worn, frontal=False, light=light)
        for worn in ([None], [None, other])
    ]
    assert shots[0] is not None and shots[1] is not None
    return shots[0], shots[1]


def test_the_truth_equals_the_target_outside_the_mask(group: Group) -> None:
    for _, target, truth in triplets(2):
        assert np.array_equal(group.masks[target], group.masks[truth])
        outside = group.masks[truth] == 0
        assert np.array_equal(group.images[target][outside], group.images[truth][outside])
        inside = group.masks[truth] > 200
        change = np.abs(group.images[target].astype(int) - group.images[truth])[inside]
        assert change.mean() > 1, "another person's face must show"


@pytest.mark.parametrize("kind", ["hand", "prop", "cover", "strands"])
def test_what_stands_before_the_face_is_not_changed_by_a_swap(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    odds(monkeypatch, **{kind: 1.0})
    monkeypatch.setattr(groups, "blur", lambda light, film: light)
    monkeypatch.setattr(groups, "draw_pose", _still(groups.draw_pose))
    light = groups.light_scene

    def plain(*arguments: object) -> object:
        lit, lamp, film = light(*arguments)  # type: ignore[arg-type]
        return lit, lamp, Film(seed=film.seed)  # nothing blurs or compresses

    monkeypatch.setattr(groups, "light_scene", plain)
    for seed in range(6):
        rng = np.random.default_rng([seed, 2])
        people = [draw_person(studio.head, rng) for _ in range(2)]
        shot = shoot_scene(
            studio, np.random.default_rng(seed), people[0], [None, people[1]],
            frontal=False, light="normal",
        )  # fmt: skip
        if shot is None or (shot.occluder > 220).sum() < 12:
            continue
        covered = (shot.occluder > 220) & (shot.mask < 40)
        assert covered.sum() > 0.8 * (shot.occluder > 220).sum()
        change = np.abs(shot.images[0].astype(int) - shot.images[1])
        open_face = change[shot.mask > 200].mean()
        assert open_face > 1.0 and change[covered].mean() < 0.1 * open_face
        return
    pytest.fail(f"six scenes with {kind} show none")


def _still(draw: object) -> object:
    """Poses near the front, so that what is placed is seen."""

    def pose(rng: np.random.Generator, *, frontal: bool) -> object:
        found = draw(rng, frontal=frontal)  # type: ignore[operator]
        return replace(found, yaw_deg=found.yaw_deg / 4, pitch_deg=0.0)

    return pose


def test_a_group_repeats_bit_for_bit_whatever_was_rendered_before(
    studio: Studio, group: Group
) -> None:
    render_group(studio, SETTINGS, 1)
    again = render_group(studio, SETTINGS, 0)
    assert np.array_equal(again.images, group.images)
    assert np.array_equal(again.masks, group.masks)
    assert again.occluders is not None and group.occluders is not None
    assert np.array_equal(again.occluders, group.occluders)
    assert again.scenes == group.scenes


def test_another_light_leaves_everything_else(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blur is the camera's, which the dark changes too.
    monkeypatch.setattr(groups, "blur", lambda light, film: light)
    normal, _ = scene(studio, 3)
    dim, _ = scene(studio, 3, light="dim")
    blue, _ = scene(studio, 3, light="blue")
    assert (normal.record["light"], dim.record["light"]) == ("normal", "dim")
    for field in ("occluders", "mood", "yaw_deg", "covered", "hair"):
        assert normal.record[field] == dim.record[field] == blue.record[field]
    assert np.array_equal(normal.landmarks, dim.landmarks)
    assert np.abs(normal.mask.astype(int) - blue.mask).max() <= 1
    assert dim.images.mean() < 0.85 * normal.images.mean()
    tint = [shot.images[0].mean((0, 1)) for shot in (normal, blue)]
    assert tint[1][2] / tint[1][0] > 1.1 * tint[0][2] / tint[0][0]


def test_a_scene_is_kept_whatever_its_light() -> None:
    for level in (0, 255):
        shot = Shot(
            images=np.full((1, 64, 64, 3), level, np.uint8),
            mask=np.full((64, 64), 255, np.uint8),
            occluder=np.zeros((64, 64), np.uint8),
            landmarks=np.full((1, 5, 2), 30, np.float32),
            record={"visible": 0.9, "face": 0.5},
        )
        assert groups._shows_a_face(shot)
        assert not groups._shows_a_face(replace(shot, record={"visible": 0.1, "face": 0.5}))
        assert not groups._shows_a_face(replace(shot, record={"visible": 0.9, "face": 0.05}))
        assert not groups._shows_a_face(replace(shot, landmarks=shot.landmarks + 40))


def test_records_are_read_back_for_every_picture(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_rendering, "GROUPS_PER_SHARD", 1)
    dataset = render_dataset(tmp_path / "set", SETTINGS, 2, workers=0)
    dataset.verify()
    group = render_group(studio, SETTINGS, 1)
    assert np.array_equal(dataset.images(1), group.images)
    assert group.occluders is not None and np.array_equal(dataset.occluders(1), group.occluders)
    records = dataset.scenes(1)
    assert [records[p] for p in (0, 1, 2, 4)] == list(group.scenes)
    assert records[2] == records[3] and records[4] == records[5]
    assert dataset.recipe["renderer_version"] == 4 and dataset.settings == SETTINGS
    assert {"occluders", "covered", "light", "mood", "yaw_deg"} <= records[0].keys()


def test_two_studios_do_not_disturb_each_other(head: Head, studio: Studio, group: Group) -> None:
    with Studio(head, size_px=64) as second:
        assert np.array_equal(render_group(second, SETTINGS, 0).images, group.images)
    assert np.array_equal(render_group(studio, SETTINGS, 0).images, group.images)


def test_fingers_bend_to_the_palm(hand: Hand) -> None:
    straight = bend(hand, np.zeros((5, 3)), np.zeros(5))
    assert np.abs(straight.vertices - hand.vertices).max() < 1e-5
    fist = bend(hand, np.full((5, 3), 60.0), np.zeros(5))
    tips = hand.weights[:, [5, 8, 11, 14]].max(1) > 0.9
    assert fist.vertices[tips, 1].mean() < hand.vertices[tips, 1].mean() - 0.4
    assert fist.vertices[tips, 2].mean() < hand.vertices[tips, 2].mean(), "towards the palm"
    rigid = hand.weights.sum(1) == 0
    assert np.abs(fist.vertices[rigid] - hand.vertices[rigid]).max() < 1e-5


def test_noise_grows_with_gain_and_is_the_same_for_all_pictures() -> None:
    light = np.full((64, 64, 3), 0.2, np.float32)
    spread = []
    for gain in (1.0, 20.0):
        film = Film(seed=5, gain=gain)
        first, second = (develop(light, film, grain_of(film, 64)) for _ in range(2))
        assert np.array_equal(first, second)
        spread.append(first.std())
    assert spread[1] > 2 * spread[0]


def test_impossible_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="light 'candle': expected one of any, normal, dim"):
        GroupSettings(light="candle")
    with pytest.raises(InvalidSettings, match="light 'dim': expected one of any"):
        GroupSettings(renderer=3, light="dim")
    with pytest.raises(InvalidSettings, match=r"renderer 2: expected one of \[3, 4\]"):
        render_dataset(tmp_path / "set", GroupSettings(renderer=2), 1)
    assert not (tmp_path / "set").exists()


def test_a_person_hidden_in_every_scene_is_drawn_anew(
    studio: Studio, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[object] = []

    def shoot(*args: Any, **kwargs: Any) -> Shot | None:
        wearer = args[2]
        if not refused or wearer is refused[0]:  # the first person never shows a face
            refused.append(wearer)
            return None
        return shoot_scene(*args, **kwargs)

    monkeypatch.setattr(groups, "shoot_scene", shoot)
    other = render_group(studio, SETTINGS, 0)
    assert len(refused) == 24
    assert not np.array_equal(other.images[0], group.images[0])
    assert np.array_equal(other.images[1], group.images[1]), "the others stay"


def test_nobody_shows_a_face(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "shoot_scene", lambda *a, **k: None)
    with pytest.raises(EdgeswapFailure, match=r"group 0 of split 'train'.*no scene of 192"):
        render_group(studio, SETTINGS, 0)
