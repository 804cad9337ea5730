"""Composed settings: changed by dotted names, checked part by part."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from edgeswap_compress.distill.cli import FIELDS, USUAL, _config, build_parser
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.config import FitOptions, changed
from edgeswap_compress.fit.run_folder import settings_of


def test_a_field_of_a_part_is_changed_and_the_rest_kept() -> None:
    config = changed(USUAL, {"losses.identity.weight": 2.0, "budget.samples": 64, "steps": 2})
    assert config.losses.identity.weight == 2.0 and config.budget.samples == 64
    assert config.steps == 2
    back = changed(config, {"losses": USUAL.losses, "budget": USUAL.budget, "steps": 1})
    assert back == USUAL and back is not USUAL


def test_a_part_and_a_field_of_it_may_be_changed_together() -> None:
    options = FitOptions(batch_size=64)
    config = changed(USUAL, {"fit": options, "fit.seed": 5})
    assert config.fit == dataclasses.replace(options, seed=5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fit.learning_rate": 11.0}, "learning_rate 11.0: expected 0 to 10"),
        ({"fit.dtype": "int8"}, "expected one of auto, float32, bfloat16"),
        ({"budget.samples": 31}, "31 samples make no batch"),
        ({"losses.identity.noise": -1.0}, "noise -1.0: expected 0"),
    ],
)
def test_every_part_checks_itself(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        changed(USUAL, changes)


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(TypeError, match="patiense"):
        changed(USUAL, {"budget.patiense": 3})


def test_the_teachers_steps_are_the_methods_own_unless_asked_for() -> None:
    assert changed(USUAL, {"method": "lcm"}).teacher_steps == 40
    assert changed(USUAL, {"method": "lcm", "teacher.steps": 8}).teacher_steps == 8


def test_the_options_defaults_are_the_configs() -> None:
    args = build_parser().parse_args(["teacher", "student", "out"])
    assert _config(args) == DistillConfig()
    assert all(hasattr(args, name) for name in FIELDS)


def test_a_run_belongs_to_all_settings_but_the_dtype() -> None:
    one, other = (changed(USUAL, {"fit.dtype": name}) for name in ("float32", "bfloat16"))
    assert settings_of(one) == settings_of(other)
    assert settings_of(one) != settings_of(changed(one, {"fit.seed": 1}))
    assert "dtype" not in settings_of(one)["fit"]
