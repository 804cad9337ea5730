"""Composed configs: their JSON both ways, and what it must not hold."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from edgeswap_compress.composed import beside, from_settings, settings_in
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.prune import PruneChoice, PruneConfig, PruneTarget, PruningError
from edgeswap_compress.train import (
    AutoencoderConfig,
    DenoiserConfig,
    IdentityConfig,
    TeacherConfig,
)


@dataclass(frozen=True, kw_only=True)
class Weights:
    noise: float = 0.5
    widths: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Whole:
    name: str
    own: Weights = field(default_factory=Weights)
    judge: Weights = field(default_factory=Weights, metadata=beside("judge_"))
    pair: tuple[int, float] | None = None


WHOLE = Whole(
    name="a", own=Weights(noise=1.0), judge=Weights(noise=2.0, widths=(3,)), pair=(1, 0.5)
)


def test_parts_stand_beside_the_other_settings() -> None:
    assert settings_in(WHOLE) == {
        "name": "a",
        "own": {"noise": 1.0, "widths": [1, 2]},
        "judge_noise": 2.0,
        "judge_widths": [3],
        "pair": [1, 0.5],
    }


def test_what_is_written_is_read_back() -> None:
    stored = json.loads(json.dumps(settings_in(WHOLE)))
    assert from_settings(Whole, stored, of="whole") == WHOLE
    assert from_settings(Whole, {"name": "a"}, of="whole") == Whole(name="a")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "whole lacks the setting 'name': expected a value"),
        ({"name": "a", "judge": {}}, "whole has no setting 'judge': expected some of name, own, j"),
        ({"name": 1}, "whole.name is 1: expected a value of type str"),
        ({"name": "a", "own": 3}, "whole.own is 3: expected an object"),
        ({"name": "a", "own": {"n": 1}}, "whole.own has no setting 'n': expected some of noise, w"),
        ({"name": "a", "judge_noise": True}, "whole.judge_noise is True: expected .* type float"),
        ({"name": "a", "judge_widths": 3}, "whole.judge_widths is 3: expected a list"),
        ({"name": "a", "judge_widths": [1.5]}, r"whole.judge_widths\[0\] is 1.5: .* type int"),
        ({"name": "a", "pair": [1]}, r"whole.pair is \[1\]: expected a list of 2"),
    ],
)
def test_other_settings_are_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        from_settings(Whole, settings, of="whole")


def test_pruning_settings_are_side_by_side_as_the_command_line_names_them() -> None:
    config = PruneConfig(
        target=PruneTarget(params_ratio=0.5),
        choice=PruneChoice(mode="both", protect=("mid_block",)),
        samples=4,
    )
    assert config.to_json() == {
        "params_ratio": 0.5,
        "importance": "magnitude",
        "mode": "both",
        "allocation": "share",
        "resample": False,
        "round_to": 8,
        "protect": ["mid_block"],
        "samples": 4,
        "rounds": 1,
        "seed": 0,
    }
    assert PruneConfig.from_json(config.to_json()) == config
    assert PruneConfig.best(macs_ratio=0.5).choice.importance == "taylor"


@pytest.mark.parametrize(
    "settings", [{}, {"macs_ratio": 0.5, "latency_ratio": 0.5}, {"macs_ratio": None}]
)
def test_there_is_one_target(settings: dict[str, Any]) -> None:
    with pytest.raises(PruningError, match="expected one of macs_ratio, params_ratio, latency_r"):
        PruneConfig.from_json(settings)


def test_a_training_is_stored_by_phases_without_further_levels() -> None:
    fit = FitConfig(samples=64)
    config = TeacherConfig(
        autoencoder=AutoencoderConfig(fit=fit),
        identity=IdentityConfig(fit=fit),
        denoiser=DenoiserConfig(fit=fit),
    )
    stored = json.loads(json.dumps(config.to_json()))
    assert stored["autoencoder"]["patch_size"] == 3
    assert stored["denoiser"]["identity_weight"] == 1.0
    assert stored["denoiser"]["guidance_scale"] == 1.5
    assert stored["swap_decoder"] is None and stored["seed"] == 0
    assert TeacherConfig.from_json(stored) == config
    stored["denoiser"]["terminal_share"] = 2.0
    with pytest.raises(InvalidSettings, match=r"terminal_share 2\.0: expected 0 to 1"):
        TeacherConfig.from_json(stored)
