"""What an evaluation refuses, before any work."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.evaluate._errors import (
    CropMismatch,
    PairsMismatch,
)
from edgeswap_compress.evaluate.config import EvaluateConfig


def test_another_resolution_is_an_error(fakes: Any, judged: Any) -> None:
    model = dataclasses.replace(
        fakes.perfect(), facts=dataclasses.replace(fakes.FACTS, resolution_px=96)
    )
    with pytest.raises(CropMismatch, match="resolution is 24 px, the model expects 96 px: render"):
        judged(model)


def test_another_alignment_is_an_error(fakes: Any, judged: Any) -> None:
    moved = tuple((x + 1.0, y) for x, y in fakes.FACTS.landmarks_px)
    model = dataclasses.replace(
        fakes.perfect(), facts=dataclasses.replace(fakes.FACTS, landmarks_px=moved)
    )
    with pytest.raises(CropMismatch, match=r"alignment is up to 4\.0 px from them"):
        judged(model)


def test_another_pair_list_is_refused_before_any_work(fakes: Any, judged: Any) -> None:
    model = fakes.perfect()
    with pytest.raises(PairsMismatch, match="expected 0000"):
        judged(model, pairs_sha256="0" * 64)
    assert not model.calls


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"batch_size": 0}, "batch_size 0: expected 1 to 65536"),
        ({"seed": -1}, "seed -1: expected 0 to 4294967295"),
        ({"seeds": 0}, "seeds 0: expected 1 to 1000"),
        ({"threads": 0}, "threads 0: expected 1 to 256"),
        ({"resamples": 99}, "resamples 99: expected 100 to 1000000"),
    ],
)
def test_impossible_settings(config: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        EvaluateConfig(**config)  # type: ignore[arg-type]
