"""Scores of models that are perfect, idle, random and half way."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeswap_compress.conditioning.crops import crop_of_template
from edgeswap_compress.evaluate._errors import (
    CropMismatch,
)
from edgeswap_compress.evaluate._pairs import held_out_pairs
from edgeswap_compress.evaluate.resized import ResizedModel
from edgeswap_compress.evaluate.stage import Evaluation
from edgeswap_runtime.bundle.manifest import Mask
from edgeswap_runtime.faces.align import TEMPLATE_96, similarity, transform_points

Crops = NDArray[np.uint8]


def test_the_truth_scores_perfectly(fakes: Any, judged: Any) -> None:
    found = judged(fakes.perfect())
    for row in ("", "unpasted_", "truth_", "truth_pasted_"):
        assert found[f"{row}psnr_face_db"] == 60.0
        assert found[f"{row}psnr_outside_db"] == 60.0
        assert found[f"{row}ssim_face"] == pytest.approx(1.0)
        assert found[f"{row}hf_ratio"] == pytest.approx(1.0)
        assert found[f"{row}id_distance_source"] == 0.0
        assert found[f"{row}id_cosine_source"] == pytest.approx(1.0)
        for metric in ("id_top1", "id_top5", "nearer_to_source", "nearer_to_source_than_target"):
            assert found[f"{row}{metric}"] == 1.0
        assert found[f"{row}id_margin"] == found["truth_id_margin"] > 0
        assert found[f"{row}landmark_nme"] == 0.0
        assert found[f"{row}fid_identity"] == pytest.approx(0, abs=1e-9)


def test_a_model_of_other_crops_is_judged_resized(fakes: Any, judged: Any) -> None:
    larger = dataclasses.replace(
        fakes.FACTS,
        resolution_px=48,
        landmarks_px=tuple((2 * x, 2 * y) for x, y in fakes.FACTS.landmarks_px),
        mask=Mask(center_px=(23.0, 23.0), radii_px=(80.0, 80.0), exponent=2.5, feather_px=0.0),
    )

    @dataclasses.dataclass
    class Larger(fakes.FakeModel):
        def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
            assert targets.shape[1:] == sources.shape[1:] == (48, 48, 3)
            swapped = targets.copy()
            swapped[:, 12:40, 10:38] = sources[:, 12:40, 10:38]
            return swapped

    model = Larger(None, facts=larger)
    with pytest.raises(CropMismatch):
        judged(model)
    found = judged(model, resize=True)
    assert found["model_resolution_px"] == 48
    assert found["psnr_face_db"] > 30  # flat faces, but for ringing at their edges
    assert judged(fakes.perfect(), resize=True)["model_resolution_px"] == 24


def test_a_model_of_another_alignment_is_judged_on_re_cut_crops(fakes: Any, judged: Any) -> None:
    """A wider crop of FFHQ's alignment: what comes back lies where it was cut out."""
    points = np.array(crop_of_template("ffhq", 64).landmarks_px)
    wider = dataclasses.replace(
        fakes.FACTS,
        resolution_px=64,
        landmarks_px=tuple((x, y) for x, y in points.tolist()),
        mask=Mask(center_px=(32.0, 38.0), radii_px=(14.0, 16.0), exponent=2.5, feather_px=0.0),
    )
    seen: list[Crops] = []

    @dataclasses.dataclass
    class Wider(fakes.FakeModel):
        def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
            seen.append(targets)
            return sources

    model = Wider(None, facts=wider)
    with pytest.raises(CropMismatch):
        judged(model)
    found = judged(model, resize=True)
    assert all(targets.shape[1:] == (64, 64, 3) for targets in seen)
    own, template = ResizedModel(model, TEMPLATE_96 / 4, 24).facts, TEMPLATE_96 / 4
    to_own = similarity(template, points)
    assert np.allclose(transform_points(to_own, [own.mask.center_px]), [[32.0, 38.0]])
    zoom = np.sqrt(np.linalg.det(to_own[:, :2]))
    assert own.mask.radii_px == pytest.approx((14.0 / zoom, 16.0 / zoom))
    assert np.allclose(own.landmarks_px, template)
    assert found["id_top1"] == 1.0  # the source's face, in its place
    assert found["unpasted_psnr_face_db"] > 20.0  # but for edges, which are resampled twice


def test_an_unchanged_target_is_never_taken_for_the_source(fakes: Any, judged: Any) -> None:
    found = judged(fakes.idle())
    for row in ("", "target_"):
        assert found[f"{row}id_top1"] == 0.0 <= found["chance_top1"]
        assert found[f"{row}nearer_to_source"] == 0.0
        assert found[f"{row}nearer_to_strangers"] == 0.0
        assert found[f"{row}nearer_to_source_than_target"] == 0.0
        assert found[f"{row}id_distance_target"] == 0.0
        assert found[f"{row}id_margin"] < 0
        assert found[f"{row}psnr_outside_db"] == 60.0
        assert found[f"{row}psnr_face_db"] < 40.0
        assert found[f"{row}landmark_nme"] > 0.1
    assert found["truth_id_top1"] == 1.0
    assert found["fid_identity"] == found["target_fid_identity"]


def test_a_face_of_noise_finds_nobody(fakes: Any, judged: Any) -> None:
    rng = np.random.default_rng(0)
    model = fakes.FakeModel(lambda t, s, n: rng.integers(0, 256, t.shape, dtype=np.uint8))
    found = judged(model)
    assert found["id_top1"] < 0.3
    assert found["hf_ratio"] > 10
    assert found["ssim_face"] < 0.5
    # gray is nearer to everybody than one color is: the control says so
    assert found["nearer_to_strangers"] > 0.5


def test_half_way_is_between(fakes: Any, judged: Any) -> None:
    half = fakes.FakeModel(lambda t, s, n: (t / 2 + s / 2).astype(np.uint8))
    found = judged(half)
    assert found["target_psnr_face_db"] < found["psnr_face_db"] < 60
    assert found["nearer_to_source"] == 1.0
    assert found["landmark_nme"] == pytest.approx(found["target_landmark_nme"] / 2, rel=0.1)
    # every color between two others: less spread than the truths have
    assert found["fid_identity"] > 0.01
    assert found["id_distance_source"] == pytest.approx(found["id_distance_target"], rel=0.02)


def test_the_pasted_swap_is_judged_and_the_mask_shows(fakes: Any, judged: Any) -> None:
    small = Mask(center_px=(11.5, 13.0), radii_px=(4.0, 4.0), exponent=2.5, feather_px=1.0)
    model = dataclasses.replace(fakes.perfect(), facts=dataclasses.replace(fakes.FACTS, mask=small))
    found = judged(model)
    assert found["unpasted_psnr_face_db"] == 60.0
    assert found["psnr_face_db"] == found["truth_pasted_psnr_face_db"] < 40.0
    assert found["source_psnr_face_db"] == found["psnr_face_db"]


def test_what_a_model_does_outside_the_face_shows_unpasted(fakes: Any, judged: Any) -> None:
    class Dark(fakes.FakeModel):
        def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
            half: Crops = targets // 2
            return half

    narrow = Mask(center_px=(11.5, 12.5), radii_px=(5.0, 5.0), exponent=2.5, feather_px=1.0)
    found = judged(Dark(None, dataclasses.replace(fakes.FACTS, mask=narrow)))
    assert found["psnr_outside_db"] == 60.0
    assert found["unpasted_psnr_outside_db"] < 20.0


def test_too_few_pairs_have_no_frechet_distance(fakes: Any, judged: Any) -> None:
    # three dimensions need six pairs
    assert judged(fakes.idle(), limit=5)["fid_identity"] is None
    assert judged(fakes.idle(), limit=6)["fid_identity"] > 0


def test_diversity_is_measured_from_noise_to_noise(
    fakes: Any, evaluation: Callable[..., Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    def noisy(target: Crops, source: Crops, noise: NDArray[np.float32]) -> Crops:
        gray = 128 + 10 * noise[:, :1, :1, :1]
        return np.broadcast_to(np.rint(gray), target.shape).astype(np.uint8)

    same = evaluation(seeds=3).judge(fakes.perfect()).to_json()
    assert same["diversity"] == same["diversity_identity"] == 0.0
    found = evaluation(seeds=40).judge(fakes.FakeModel(noisy)).to_json()
    # a normal of deviation 10 in every pixel, in each of three channels of the judge
    assert found["diversity"] == pytest.approx(10, rel=0.15)
    assert found["diversity_identity"] == pytest.approx(10 / 255 * 3**0.5, rel=0.15)
    monkeypatch.setattr("edgeswap_compress.evaluate.stage.SPREAD_PAIRS", 6)
    few = fakes.FakeModel(noisy)
    assert evaluation(seeds=2).judge(few).to_json()["diversity"] > 0
    assert [n for n, _ in few.calls] == [12, 6]
    assert "diversity" not in evaluation(seeds=1).judge(fakes.perfect()).to_json()


def test_a_control_needs_strangers(fakes: Any, judged: Any, noise_dataset: Any) -> None:
    noise_dataset.groups = 1
    found = judged(fakes.perfect())
    assert "nearer_to_strangers" not in found
    assert found["id_top1"] == 1.0
    assert not any(isinstance(v, float) and math.isnan(v) for v in found.values())


def test_batches_change_nothing_and_noise_follows_the_pairs(
    fakes: Any, judged: Any, noise_dataset: Any
) -> None:
    def noisy(target: Crops, source: Crops, noise: NDArray[np.float32]) -> Crops:
        return (source * 0.5 + 20 * np.abs(noise[:, :1, :1, :1])).astype(np.uint8)

    one, many = fakes.FakeModel(noisy), fakes.FakeModel(noisy)
    small = judged(one, batch_size=1)
    large = judged(many, batch_size=5)
    assert small == large
    assert [n for n, _ in many.calls] == [5, 5, 2]
    total = held_out_pairs(noise_dataset).noise(0, fakes.FACTS.latent_shape).sum()
    assert sum(s for _, s in many.calls) == pytest.approx(total, abs=1e-3)


def test_the_limit_keeps_the_whole_gallery(fakes: Any, judged: Any) -> None:
    found = judged(fakes.perfect(), limit=1)
    assert (found["n"], found["groups"], found["gallery"]) == (1, 1, 12)
    assert found["psnr_face_db_lo"] is None
