"""Measures of photographs, on models whose figures are known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeswap_compress.evaluate.models import ModelFacts
from edgeswap_compress.evaluate.photos import cli
from edgeswap_compress.evaluate.photos.conditions import CONDITIONS, behind_bar, in_light, put_in
from edgeswap_compress.evaluate.photos.stage import PHOTO_METRICS, judge_photos
from edgeswap_runtime.bundle.manifest import Mask
from edgeswap_runtime.cli import main
from edgeswap_runtime.faces.align import TEMPLATE_96

Crops = NDArray[np.uint8]
MASK = Mask(center_px=(11.5, 12.5), radii_px=(9.0, 9.0), exponent=2.5, feather_px=1.0)


@dataclasses.dataclass
class PhotoModel:
    """Gives the source's crop, darker by some gray levels."""

    error: int = 0

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts(
            kind="fake", sha256="f" * 64, steps=1, guidance=1.0, sampler="none", precision="exact",
            resolution_px=24, latent_shape=(2, 3, 3),
            landmarks_px=tuple((x / 4, y / 4) for x, y in TEMPLATE_96.tolist()), mask=MASK,
        )  # fmt: skip

    def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
        assert noise.shape == (len(targets), 2, 3, 3)
        swapped: Crops = np.maximum(sources.astype(int) - self.error, 0).astype(np.uint8)
        return swapped

    def reconstruct(self, crops: Crops) -> Crops | None:
        return None


@pytest.fixture
def crops() -> Crops:
    rng = np.random.default_rng(0)
    return rng.integers(40, 215, (3, 24, 24, 3), dtype=np.uint8)


@pytest.fixture
def report(crops: Crops, color_judge: Any, brightness_landmarker: Any) -> Any:
    def make(model: PhotoModel, **more: Any) -> Any:
        sources = np.full_like(crops, 90)
        sources[..., 0] = 200
        return judge_photos(
            model, crops, sources, judge=color_judge, landmarker=brightness_landmarker, **more
        )

    return make


def test_a_perfect_model_changes_nothing_of_a_photo_swapped_with_itself(report: Any) -> None:
    found = report(PhotoModel())
    assert set(found.rows) == set(CONDITIONS) and found.photos == 3
    for row in found.rows.values():
        assert row["self_psnr_db"] == 60.0
        assert row["self_cosine"] == pytest.approx(1.0)
        assert row["self_landmark_nme"] == 0.0
        assert row["self_sharpness"] == pytest.approx(1.0)
        assert row["copy_cosine"] == pytest.approx(1.0)
        assert row["cosine_source"] > row["before_cosine_source"]
    assert set(found.rows["bar"]) == set(PHOTO_METRICS)
    # the source has no bar, and this model knows of none
    assert found.rows["bar"]["occluded_psnr_db"] < 20


def test_an_error_is_measured(report: Any) -> None:
    row = report(PhotoModel(error=10), conditions=("as it is",)).rows["as it is"]
    assert row["self_psnr_db"] == pytest.approx(20 * np.log10(255 / 10), abs=1.0)


def test_lights_and_the_bar(crops: Crops) -> None:
    assert np.array_equal(in_light(crops, (1.0, 1.0, 1.0)), crops)
    dim, none = put_in("dim", crops)
    assert dim.mean() < 0.6 * crops.mean() and not none.any()
    blue = put_in("blue", crops)[0].mean((0, 1, 2))
    assert blue[2] > blue[0]
    shown, bar = behind_bar(crops)
    assert (shown[bar > 0] == 90).all() and np.array_equal(shown[bar == 0], crops[bar == 0])
    assert 0.1 < bar.mean() < 0.3


def test_the_table_and_the_json(report: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(PhotoModel(), conditions=("dim", "bar"))
    cli._print(found, as_json=False)
    told = capsys.readouterr().out
    assert "3 photos" in told and "self_psnr_db" in told and "dim" in told
    cli._print(found, as_json=True)
    assert json.loads(capsys.readouterr().out)["conditions"]["dim"]["self_psnr_db"] == 60.0


def test_what_it_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from edgeswap_compress.checkpoint.defaults import calibration_dataset, default_checkpoint

    model, data = str(default_checkpoint("student")), str(calibration_dataset())
    assert main(["evaluate", "photos", model, str(tmp_path), "--sources", data]) == 2
    assert "heldout" in capsys.readouterr().err
    assert main(["evaluate", "photos", model, str(tmp_path), "--sources", data, "--size", "9"]) == 2
    assert "--size 9: expected 48 to 1024" in capsys.readouterr().err
    assert main(["evaluate", "photos", model, str(tmp_path / "no"), "--sources", data]) == 2
    assert "folder of photos" in capsys.readouterr().err
