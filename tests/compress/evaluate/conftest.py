"""Fixtures: an evaluation of noise, and models whose scores are known."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgeswap_compress.evaluate.config import EvaluateConfig
from edgeswap_compress.evaluate.stage import Evaluation


@pytest.fixture(scope="session")
def fakes() -> ModuleType:
    """The module fakes.py: under importlib mode tests are no package."""
    file = Path(__file__).with_name("fakes.py")
    spec = importlib.util.spec_from_file_location("edgeswap_tests_evaluate_fakes", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def evaluation(
    noise_dataset: Any, color_judge: Any, brightness_landmarker: Any
) -> Callable[..., Evaluation]:
    def make(**config: Any) -> Evaluation:
        return Evaluation(
            noise_dataset,
            EvaluateConfig(**{"seeds": 1, **config}),
            judge=color_judge,
            landmarker=brightness_landmarker,
        )

    return make


@pytest.fixture
def judged(evaluation: Callable[..., Evaluation]) -> Callable[..., dict[str, Any]]:
    return lambda model, **config: evaluation(**config).judge(model).to_json()
