"""The contact sheet: which cases it shows, and where it may be written."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_compress.evaluate import _sheet
from edgeswap_compress.evaluate._pairs import held_out_pairs
from edgeswap_compress.evaluate.models import ModelFacts
from edgeswap_compress.evaluate.report import EvaluationReport
from edgeswap_runtime.bundle.manifest import Mask
from edgeswap_runtime.errors import InvalidRequest, OutputExists
from edgeswap_runtime.pictures.write import require_new_png

FACTS = ModelFacts(
    kind="checkpoint",
    sha256="a" * 64,
    steps=1,
    guidance=1.0,
    sampler="ddim",
    precision="float32",
    resolution_px=24,
    latent_shape=(4, 6, 6),
    landmarks_px=((8, 8), (16, 8), (12, 12), (9, 16), (15, 16)),
    mask=Mask(center_px=(11.5, 11.5), radii_px=(40.0, 40.0), exponent=2.5, feather_px=0.0),
)


@pytest.fixture
def report(noise_dataset: Any) -> EvaluationReport:
    """Twelve swaps of plain colors, of PSNR 0..11 dB."""
    pairs = held_out_pairs(noise_dataset)
    levels = np.arange(12, dtype=np.uint8) * 20
    values = {
        "psnr_face_db": np.arange(12.0),
        "id_distance_source": np.linspace(0.2, 0.8, 12),
        "id_distance_target": np.linspace(0.8, 0.2, 12),
        "id_top1": (np.arange(12) < 6).astype(float),
    }
    swaps = np.broadcast_to(levels[:, None, None, None], (12, 24, 24, 3))
    return EvaluationReport(
        model=FACTS,
        facts={},
        rows={},
        pairs=pairs,
        swaps=swaps,
        embeddings=np.zeros((12, 3), np.float32),
        values=values,
    )


@pytest.mark.parametrize("n", range(1, 12))
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_no_case_is_shown_twice(n: int, rows: int) -> None:
    cases = _sheet.chosen_cases(np.random.default_rng(n).permutation(n).astype(float), rows)
    shown = np.concatenate(list(cases.values()))
    assert len(set(shown)) == len(shown)
    assert 1 <= len(cases["best"]) <= rows
    if n >= 3:
        assert {len(which) for which in cases.values()} == {min(rows, n // 3)}


def test_cases_are_best_median_and_worst() -> None:
    psnr = np.array([5.0, 9.0, 1.0, 3.0, 7.0, 2.0, 8.0, 4.0, 6.0])
    cases = _sheet.chosen_cases(psnr, 2)
    assert psnr[cases["best"]].tolist() == [9.0, 8.0]
    assert psnr[cases["worst"]].tolist() == [1.0, 2.0]
    assert set(psnr[cases["median"]]) <= {4.0, 5.0, 6.0}


def test_the_sheet_shows_the_swaps_beside_what_they_came_from(
    noise_dataset: Any, report: EvaluationReport
) -> None:
    sheet = _sheet.contact_sheet(noise_dataset, report, rows=2)
    best = 11
    tiles = {
        name: sheet[32 : 32 + 144, 144 * i : 144 * (i + 1)] for i, name in enumerate(_sheet.COLUMNS)
    }
    assert (tiles["swap"] == 220).all()
    images = noise_dataset.images(int(report.pairs.group[best]))
    for name in ("source", "target", "truth"):
        position = getattr(report.pairs, name)[best]
        # the middle of the face, one color there
        assert np.abs(tiles[name][72, 72].astype(int) - images[position][12, 12]).max() <= 1
    # the text under the first row is dark on white
    assert sheet[32 + 144 : 32 + 160].min() < 60


def test_the_label_states_figures(report: EvaluationReport) -> None:
    assert _sheet._label(report, 0) == "0.0 dB, distance to source 0.20, to target 0.80, Top-1"
    assert _sheet._label(report, 11) == "11.0 dB, distance to source 0.80, to target 0.20"


def test_writing(tmp_path: Path, noise_dataset: Any, report: EvaluationReport) -> None:
    path = tmp_path / "sheet.png"
    _sheet.write_sheet(path, noise_dataset, report)
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.size == (3 * 588 - 12, 32 + 4 * 160)
    before = path.read_bytes()
    with pytest.raises(OutputExists, match="already exists"):
        _sheet.write_sheet(path, noise_dataset, report)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]


def test_one_pair_is_enough(noise_dataset: Any, report: EvaluationReport) -> None:
    one = dataclasses.replace(
        report,
        pairs=report.pairs.first(1),
        swaps=report.swaps[:1],
        values={name: values[:1] for name, values in report.values.items()},
    )
    assert _sheet.contact_sheet(noise_dataset, one).shape == (32 + 160, 576, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [("sheet.jpg", "expected a name ending in .png"), ("no/sheet.png", "there is no folder")],
)
def test_where_no_sheet_can_be(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        require_new_png(tmp_path / name)
