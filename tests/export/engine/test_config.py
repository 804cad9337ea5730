"""Settings of engines that cannot be, and their JSON."""

from __future__ import annotations

from typing import Any

import pytest

from edgeswap_export.engine import BuilderOptions, EngineConfig
from edgeswap_export.engine._errors import UnsupportedEngine


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gpus": ("SM87",)}, "has no sm87: a Jetson's engines are built on the Jetson, with"),
        ({"gpus": ("SM110",)}, "has no sm110: a Jetson's engines are built on the Jetson"),
        ({"gpus": ("SM90",)}, "no GPU 'sm90': expected some of sm75, sm80, sm86, sm89"),
        ({"gpus": ()}, "builds ahead of time: name the GPUs, such as --gpu sm86,sm89"),
        ({"gpus": ("SM86", "SM86")}, "gpus sm86, sm86: one is named twice"),
        ({"backend": "trt"}, "backend 'trt': expected one of tensorrt_rtx, tensorrt"),
        ({"backend": "tensorrt"}, "builds for the GPU it runs on: leave --gpu out"),
        ({"builder": {"hardware_compatibility": "ampere-plus"}}, "name every GPU in --gpu instead"),
        (
            {"builder": {"hardware_compatibility": "all"}},
            "compatibility 'all': expected one of ampere-plus",
        ),
        ({"sizes": {"batch": (2, 1, 4)}}, "size batch 2:1:4: expected MIN:OPT:MAX"),
        ({"builder": {"workspace_mib": 0}}, "workspace 0 MiB: expected at least 1"),
        ({"builder": {"optimization_level": 6}}, "optimization level 6: expected 0 to 5"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedEngine, match=message):
        if "builder" in settings:
            settings = {**settings, "builder": BuilderOptions(**settings["builder"])}
        EngineConfig(**{"backend": "tensorrt_rtx", "gpus": ("SM86",), **settings})


def test_a_recipe_is_read_strictly() -> None:
    config = EngineConfig(backend="tensorrt_rtx", gpus=("sm89",), sizes={"batch": (1, 2, 4)})
    assert EngineConfig.from_json(config.to_json()) == config
    with pytest.raises(UnsupportedEngine, match="engine has no setting 'target': expected some of"):
        EngineConfig.from_json({"backend": "tensorrt_rtx", "target": "sm86"})
    with pytest.raises(
        UnsupportedEngine, match=r"engine\.builder\.refittable is of type str, expected bool"
    ):
        EngineConfig.from_json({"backend": "tensorrt_rtx", "builder": {"refittable": "yes"}})
