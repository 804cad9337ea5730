"""Whole evaluations of models whose scores are known."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeswap_compress.evaluate._errors import (
    CropMismatch,
    InvalidEvaluation,
    PairsMismatch,
)
from edgeswap_compress.evaluate._evaluate import EvaluateConfig, evaluate
from edgeswap_compress.evaluate._models import ModelFacts
from edgeswap_compress.evaluate._pairs import held_out_pairs
from edgeswap_compress.evaluate._report import METRICS, ROWS
from edgeswap_runtime._align import TEMPLATE_96
from edgeswap_runtime._manifest import Mask

Crops = NDArray[np.uint8]

FACTS = ModelFacts(
    kind="fake",
    sha256="f" * 64,
    steps=1,
    guidance=1.0,
    sampler="none",
    precision="exact",
    resolution_px=24,
    latent_shape=(2, 3, 3),
    landmarks_px=tuple((x / 4, y / 4) for x, y in TEMPLATE_96.tolist()),
    mask=Mask(centre_px=(11.5, 11.5), radii_px=(40.0, 40.0), exponent=2.5, feather_px=0.0),
)


class ColourJudge:
    """Knows people by the colour of the inner face, which is all a NoiseDataset shows of them."""

    name = "colour"
    sha256 = "c" * 64

    def embed(self, crops: Crops) -> NDArray[np.float32]:
        colours: NDArray[np.float32] = crops[:, 8:18, 7:17].mean((1, 2)).astype(np.float32)
        return colours / np.float32(255) + np.float32(0.1)


@dataclasses.dataclass
class FakeModel:
    """Keeps the target, but for the inner face, where it shows `inner(target, source, noise)`."""

    inner: Any
    facts: ModelFacts = FACTS
    reconstructs: bool = True
    calls: list[tuple[int, float]] = dataclasses.field(default_factory=list)

    def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
        self.calls.append((len(targets), float(noise.sum())))
        swapped = targets.copy()
        swapped[:, 6:20, 5:19] = self.inner(targets, sources, noise)[:, 6:20, 5:19]
        return swapped

    def reconstruct(self, crops: Crops) -> Crops | None:
        half: Crops = crops // 2
        return half if self.reconstructs else None


def perfect() -> FakeModel:
    return FakeModel(lambda target, source, noise: source)


def idle() -> FakeModel:
    return FakeModel(lambda target, source, noise: target)


def judged(model: Any, dataset: Any, **config: Any) -> dict[str, Any]:
    return evaluate(model, dataset, EvaluateConfig(**config), judge=ColourJudge()).to_json()


def test_the_truth_scores_perfectly(noise_dataset: Any) -> None:
    found = judged(perfect(), noise_dataset)
    for row in ("", "unpasted_", "truth_", "truth_pasted_"):
        assert found[f"{row}psnr_face_db"] == 60.0
        assert found[f"{row}psnr_outside_db"] == 60.0
        assert found[f"{row}ssim_face"] == pytest.approx(1.0)
        assert found[f"{row}hf_ratio"] == pytest.approx(1.0)
        assert found[f"{row}id_distance_source"] == 0.0
        assert found[f"{row}id_cosine_source"] == pytest.approx(1.0)
        for metric in ("id_top1", "id_top5", "nearer_to_source", "nearer_to_source_than_target"):
            assert found[f"{row}{metric}"] == 1.0
        assert found[f"{row}id_margin"] > 0


def test_an_unchanged_target_is_never_taken_for_the_source(noise_dataset: Any) -> None:
    found = judged(idle(), noise_dataset)
    for row in ("", "target_unchanged_"):
        assert found[f"{row}id_top1"] == 0.0 <= found["chance_top1"]
        assert found[f"{row}nearer_to_source"] == 0.0
        assert found[f"{row}nearer_to_strangers"] == 0.0
        assert found[f"{row}nearer_to_source_than_target"] == 0.0
        assert found[f"{row}id_distance_target"] == 0.0
        assert found[f"{row}id_margin"] < 0
        assert found[f"{row}psnr_outside_db"] == 60.0
        assert found[f"{row}psnr_face_db"] < 40.0
    assert found["truth_id_top1"] == 1.0


def test_a_face_of_noise_finds_nobody(noise_dataset: Any) -> None:
    rng = np.random.default_rng(0)
    model = FakeModel(lambda t, s, n: rng.integers(0, 256, t.shape, dtype=np.uint8))
    found = judged(model, noise_dataset)
    assert found["id_top1"] < 0.3
    assert found["hf_ratio"] > 10
    assert found["ssim_face"] < 0.5
    # grey is nearer to everybody than one colour is: the control says so
    assert found["nearer_to_strangers"] > 0.5


def test_half_way_is_between(noise_dataset: Any) -> None:
    half = FakeModel(lambda t, s, n: (t / 2 + s / 2).astype(np.uint8))
    found = judged(half, noise_dataset)
    assert found["target_unchanged_psnr_face_db"] < found["psnr_face_db"] < 60
    assert found["nearer_to_source"] == 1.0
    assert found["id_distance_source"] == pytest.approx(found["id_distance_target"], rel=0.02)


def test_the_pasted_swap_is_judged_and_the_mask_shows(noise_dataset: Any) -> None:
    small = Mask(centre_px=(11.5, 13.0), radii_px=(4.0, 4.0), exponent=2.5, feather_px=1.0)
    model = dataclasses.replace(perfect(), facts=dataclasses.replace(FACTS, mask=small))
    found = judged(model, noise_dataset)
    assert found["unpasted_psnr_face_db"] == 60.0
    assert found["psnr_face_db"] == found["truth_pasted_psnr_face_db"] < 40.0
    assert found["source_pasted_psnr_face_db"] == found["psnr_face_db"]


def test_what_a_model_does_outside_the_face_shows_unpasted(noise_dataset: Any) -> None:
    class Dark(FakeModel):
        def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
            half: Crops = targets // 2
            return half

    narrow = Mask(centre_px=(11.5, 12.5), radii_px=(5.0, 5.0), exponent=2.5, feather_px=1.0)
    found = judged(Dark(None, dataclasses.replace(FACTS, mask=narrow)), noise_dataset)
    assert found["psnr_outside_db"] == 60.0
    assert found["unpasted_psnr_outside_db"] < 20.0


def test_the_json_is_flat_finite_and_complete(noise_dataset: Any) -> None:
    found = judged(perfect(), noise_dataset, seed=3)
    text = json.dumps(found, allow_nan=False)
    assert all(isinstance(value, int | float | str) for value in json.loads(text).values())
    for row in ROWS:
        prefix = "" if row == "swap" else f"{row}_"
        for metric in METRICS:
            value, lo, hi = (found[f"{prefix}{metric}{end}"] for end in ("", "_lo", "_hi"))
            assert lo - 1e-12 <= value <= hi + 1e-12, f"{prefix}{metric}"
    expected = {"n": 12, "groups": 6, "gallery": 12, "steps": 1, "guidance": 1.0, "seed": 3}
    assert {key: found[key] for key in expected} == expected
    assert found["chance_top1"] == pytest.approx(1 / 12)
    assert found["evaluator_sha256"] == "c" * 64 and found["model_sha256"] == "f" * 64
    assert found["dataset_digest"] == noise_dataset.digest
    assert found["pairs_sha256"] == held_out_pairs(noise_dataset).sha256


def test_a_model_without_an_autoencoder_lacks_that_row(noise_dataset: Any) -> None:
    with_it = judged(perfect(), noise_dataset)
    without = judged(dataclasses.replace(perfect(), reconstructs=False), noise_dataset)
    gone = set(with_it) - set(without)
    assert gone and all(key.startswith("autoencoder_") for key in gone)


def test_batches_change_nothing_and_noise_follows_the_pairs(noise_dataset: Any) -> None:
    def noisy(target: Crops, source: Crops, noise: NDArray[np.float32]) -> Crops:
        return (source * 0.5 + 20 * np.abs(noise[:, :1, :1, :1])).astype(np.uint8)

    one, many = FakeModel(noisy), FakeModel(noisy)
    small = judged(one, noise_dataset, batch_size=1)
    large = judged(many, noise_dataset, batch_size=5)
    assert small == large
    assert [n for n, _ in many.calls] == [5, 5, 2]
    total = held_out_pairs(noise_dataset).noise(0, FACTS.latent_shape).sum()
    assert sum(s for _, s in many.calls) == pytest.approx(total, abs=1e-3)


def test_the_limit_keeps_the_whole_gallery(noise_dataset: Any) -> None:
    found = judged(perfect(), noise_dataset, limit=1)
    assert (found["n"], found["groups"], found["gallery"]) == (1, 1, 12)
    assert found["psnr_face_db_lo"] is None


def test_progress_ends_at_the_whole(noise_dataset: Any) -> None:
    told: list[tuple[int, int, str]] = []
    config = EvaluateConfig(batch_size=8)
    evaluate(
        perfect(),
        noise_dataset,
        config,
        judge=ColourJudge(),
        progress=lambda done, total, text: told.append((done, total, text)),
    )
    assert [done for done, _, _ in told] == [0, 8, 12]
    assert {total for _, total, _ in told} == {12}


def test_the_table_shows_every_row_and_metric(noise_dataset: Any) -> None:
    report = evaluate(perfect(), noise_dataset, EvaluateConfig(), judge=ColourJudge())
    lines = report.table().splitlines()
    assert lines[0].split() == list(ROWS)
    assert [line.split()[0] for line in lines[1:]] == list(METRICS)
    assert "60.00 [60.00, 60.00]" in lines[1]


def test_another_resolution_is_an_error(noise_dataset: Any) -> None:
    model = dataclasses.replace(perfect(), facts=dataclasses.replace(FACTS, resolution_px=96))
    with pytest.raises(CropMismatch, match="resolution is 24 px, the model expects 96 px: render"):
        judged(model, noise_dataset)


def test_another_alignment_is_an_error(noise_dataset: Any) -> None:
    moved = tuple((x + 1.0, y) for x, y in FACTS.landmarks_px)
    model = dataclasses.replace(perfect(), facts=dataclasses.replace(FACTS, landmarks_px=moved))
    with pytest.raises(CropMismatch, match=r"alignment is up to 4\.0 px from them"):
        judged(model, noise_dataset)


def test_another_pair_list_is_refused_before_any_work(noise_dataset: Any) -> None:
    model = perfect()
    with pytest.raises(PairsMismatch, match="expected 0000"):
        judged(model, noise_dataset, pairs_sha256="0" * 64)
    assert not model.calls


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"batch_size": 0}, "batch_size 0: expected 1 or more"),
        ({"seed": -1}, "seed -1: expected 0 or more"),
        ({"resamples": 99}, "resamples 99: expected 100 or more"),
    ],
)
def test_impossible_settings(config: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidEvaluation, match=message):
        EvaluateConfig(**config)  # type: ignore[arg-type]


def test_a_control_needs_strangers(noise_dataset: Any) -> None:
    noise_dataset.groups = 1
    found = judged(perfect(), noise_dataset)
    assert "nearer_to_strangers" not in found
    assert found["id_top1"] == 1.0
    assert not any(isinstance(v, float) and math.isnan(v) for v in found.values())
