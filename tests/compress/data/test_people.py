"""Drawing identities, expressions and scenes: deterministic, varied, adult, within bounds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeswap_compress.data.people.expression import draw_expression, neutral_expression
from edgeswap_compress.data.people.head import HAIRSTYLES
from edgeswap_compress.data.people.identity import EYE_COLORS, draw_identity, draw_sliders
from edgeswap_compress.data.people.scene import draw_scene

SLIDERS = ("nose/nose-hump-decr|incr", "mouth/mouth-scale-horiz-decr|incr", "head/head-oval",
           "neck/neck-double-decr|incr")  # fmt: skip
UNITS = ("browDownLeft", "browDownRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft",
         "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft",
         "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "jawOpen", "mouthSmileLeft",
         "mouthSmileRight")  # fmt: skip


def test_the_same_seed_draws_the_same_values() -> None:
    first, second = (
        (draw_identity(rng, SLIDERS, 6), draw_expression(rng, UNITS), draw_scene(rng))
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    assert first == second
    assert first[0] != draw_identity(np.random.default_rng(4), SLIDERS, 6)


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        draw_scene(np.random.default_rng(0)).yaw_deg = 3.0  # type: ignore[misc]


def test_identities_are_adults_within_bounds() -> None:
    people = [draw_identity(np.random.default_rng(k), SLIDERS, 6) for k in range(300)]
    ages = [person.age for person in people]
    assert min(ages) >= 0 and max(ages) <= 0.85 and np.std(ages) > 0.1
    for person in people:
        assert sum(person.races) == pytest.approx(1)
        assert 0 <= person.sex <= 1 and -1 <= person.weight <= 1 and -1 <= person.muscle <= 1
        assert person.hair is None or person.hair in HAIRSTYLES
        assert 0 <= person.eye_color < EYE_COLORS
        assert max(person.sliders) < 1.3
    assert {person.eye_color for person in people} == set(range(EYE_COLORS))
    assert any(person.moustache for person in people if person.sex > 0.7)
    assert not any(person.moustache or person.stubble for person in people if person.sex < 0.5)
    assert not any(person.eye_shadow for person in people if person.sex > 0.5)


def test_one_sided_sliders_stay_positive_and_the_neck_still() -> None:
    drawn = np.array([draw_sliders(np.random.default_rng(k), SLIDERS) for k in range(200)])
    assert drawn[:, 2].min() == 0 and drawn[:, 2].max() > 0
    assert drawn[:, 0].min() < -0.3 and drawn[:, 0].max() > 0.3
    assert (drawn[:, 3] == 0).all()


def test_expressions_stay_in_range_and_follow_strength() -> None:
    lively = np.array(
        [draw_expression(np.random.default_rng(k), UNITS).weights for k in range(200)]
    )
    mild = np.array(
        [draw_expression(np.random.default_rng(k), UNITS, strength=0.3).weights for k in range(200)]
    )
    assert lively.min() >= 0 and lively.max() <= 1
    smile = UNITS.index("mouthSmileLeft")
    assert mild[:, smile].mean() < 0.5 * lively[:, smile].mean()
    assert sum(neutral_expression(UNITS).weights) == 0


def test_both_eyes_look_the_same_way() -> None:
    place = {unit: k for k, unit in enumerate(UNITS)}
    for k in range(50):
        weights = draw_expression(np.random.default_rng(k), UNITS).weights
        assert weights[place["eyeLookOutLeft"]] == weights[place["eyeLookInRight"]]
        assert weights[place["eyeLookUpLeft"]] == weights[place["eyeLookUpRight"]]


def test_frontal_scenes_turn_less() -> None:
    def spread(*, frontal: bool) -> float:
        scenes = (draw_scene(np.random.default_rng(k), frontal=frontal) for k in range(200))
        return float(np.std([scene.yaw_deg for scene in scenes]))

    assert spread(frontal=True) < 0.7 * spread(frontal=False)


def test_misalignment_is_small_and_can_be_switched_off() -> None:
    scenes = [draw_scene(np.random.default_rng(k)) for k in range(200)]
    assert max(abs(scene.crop_turn_deg) for scene in scenes) <= 3
    assert max(abs(scene.crop_scale - 1) for scene in scenes) <= 0.03
    assert 1 < max(max(np.abs(scene.crop_shift_px)) for scene in scenes) <= 1.5
    still = draw_scene(np.random.default_rng(0), jitter=False)
    assert (still.crop_turn_deg, still.crop_scale, still.crop_shift_px) == (0, 1, (0, 0))
