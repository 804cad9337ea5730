"""The stages refuse what their commands refuse, when they are called from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.distill import (
    DistillConfig,
    SmallAutoencoderConfig,
    distill,
    shrink_autoencoder,
)
from edgeswap_compress.errors import DatasetMismatch, InvalidSettings
from edgeswap_compress.fit import FitConfig
from edgeswap_compress.personalize import PersonalizeConfig, personalize
from edgeswap_compress.train import (
    AutoencoderConfig,
    DenoiserConfig,
    IdentityConfig,
    TeacherConfig,
    train,
)
from edgeswap_runtime.errors import BadFolder, EdgeswapError, OutputExists

FIT = FitConfig(samples=32)
TEACHER = TeacherConfig(
    autoencoder=AutoencoderConfig(fit=FIT),
    identity=IdentityConfig(fit=FIT),
    denoiser=DenoiserConfig(fit=FIT),
)
CONSENT = PersonalizeConfig(consent="nobody, 2026-01-01, a test")

STAGES: dict[str, Callable[..., Any]] = {
    "distill": lambda given, out, **more: distill(given, DistillConfig(), out, **more),
    "autoencoder": lambda given, out, **more: shrink_autoencoder(
        given, SmallAutoencoderConfig(), out, **more
    ),
    "personalize": lambda given, out, **more: personalize(
        given, CONSENT, out, photos=given, **more
    ),
    "train": lambda given, out, **more: train(given, TEACHER, out, held_out=given, **more),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stages")
    tiny_checkpoint().save(folder / "checkpoint")
    (folder / "file").touch()
    return folder


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("given", "out", "error", "message"),
    [
        ("none", "out", BadFolder, "found nothing; make one with"),
        ("file", "out", BadFolder, "found a file; make one with"),
        ("checkpoint", "checkpoint", OutputExists, "already exists"),
        ("checkpoint", "file/out", InvalidSettings, "file is no folder"),
    ],
)
def test_a_stage_refuses_wrong_places(
    stage: str, given: str, out: str, error: type[EdgeswapError], message: str, place: Path
) -> None:
    before = sorted(place.rglob("*"))
    with pytest.raises(error, match=message):
        STAGES[stage](place / given, place / out)
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("stage", ["distill", "autoencoder", "personalize"])
def test_a_stage_refuses_data_of_another_size(stage: str, place: Path) -> None:
    """The packaged dataset has crops of 96 px."""
    with pytest.raises(DatasetMismatch, match="size_px 96, expected 24"):
        STAGES[stage](place / "checkpoint", place / "out")
    assert not (place / "out").exists() and not (place / "out.run").exists()
