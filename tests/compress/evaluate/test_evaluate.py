"""Whole evaluations of models whose scores are known."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.evaluate._errors import (
    CropMismatch,
    InvalidEvaluation,
    PairsMismatch,
)
from edgeswap_compress.evaluate._models import ModelFacts
from edgeswap_compress.evaluate._pairs import held_out_pairs
from edgeswap_compress.evaluate.config import EvaluateConfig
from edgeswap_compress.evaluate.report import METRICS, PROVENANCE, ROWS, EvaluationReport, table
from edgeswap_compress.evaluate.stage import Evaluation
from edgeswap_runtime.bundle.manifest import Mask
from edgeswap_runtime.faces.align import TEMPLATE_96

Crops = NDArray[np.uint8]

OF_OCCLUDERS = {"psnr_occluded_db", "psnr_face_covered_db", "psnr_face_clear_db"}
"""What a set without occluders has no row of."""

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
    mask=Mask(center_px=(11.5, 11.5), radii_px=(40.0, 40.0), exponent=2.5, feather_px=0.0),
)


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


def test_every_report_says_what_was_judged_on_what_and_by_whom(judged: Any) -> None:
    found = judged(perfect(), seed=3)
    assert all(found[name] is not None for name in PROVENANCE)
    assert (found["seed"], found["seeds"], found["n"]) == (3, 1, 12)


def test_the_truth_scores_perfectly(judged: Any) -> None:
    found = judged(perfect())
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


class OccludedDataset:
    """A dataset whose odd groups have something before the face, which the masks leave out."""

    def __init__(self, plain: Any) -> None:
        self._plain, self._bar = plain, np.zeros((24, 24), np.uint8)
        self._bar[10:14, 5:19] = 255

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def __len__(self) -> int:
        return len(self._plain)

    def occluders(self, group: int) -> NDArray[np.uint8]:
        bar = self._bar * np.uint8(group % 2)
        return np.broadcast_to(bar, (self._plain.pictures, 24, 24))

    def masks(self, group: int) -> NDArray[np.uint8]:
        masks: NDArray[np.uint8] = self._plain.masks(group) * (self.occluders(group) == 0)
        return masks

    def images(self, group: int) -> NDArray[np.uint8]:
        shown = np.array(self._plain.images(group))
        shown[self.occluders(group) > 0] = 200
        return shown


def test_what_stands_before_the_face_has_rows_of_its_own(
    noise_dataset: Any, color_judge: Any, brightness_landmarker: Any, judged: Any
) -> None:
    assert "psnr_occluded_db" not in judged(perfect())
    evaluation = Evaluation(
        OccludedDataset(noise_dataset), EvaluateConfig(seeds=1), judge=color_judge,
        landmarker=brightness_landmarker,
    )  # fmt: skip
    kept = evaluation.judge(idle()).to_json()
    assert kept["psnr_occluded_db"] == 60.0
    ruined = evaluation.judge(FakeModel(lambda target, source, noise: 0 * target)).to_json()
    assert ruined["psnr_occluded_db"] == pytest.approx(20 * np.log10(255 / 200), abs=0.01)
    both = (ruined["psnr_face_covered_db"] + ruined["psnr_face_clear_db"]) / 2
    assert both == pytest.approx(ruined["psnr_face_db"])


def test_a_model_of_other_crops_is_judged_resized(judged: Any) -> None:
    larger = dataclasses.replace(
        FACTS,
        resolution_px=48,
        landmarks_px=tuple((2 * x, 2 * y) for x, y in FACTS.landmarks_px),
        mask=Mask(center_px=(23.0, 23.0), radii_px=(80.0, 80.0), exponent=2.5, feather_px=0.0),
    )

    @dataclasses.dataclass
    class Larger(FakeModel):
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
    assert judged(perfect(), resize=True)["model_resolution_px"] == 24


def test_an_unchanged_target_is_never_taken_for_the_source(judged: Any) -> None:
    found = judged(idle())
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


def test_a_face_of_noise_finds_nobody(judged: Any) -> None:
    rng = np.random.default_rng(0)
    model = FakeModel(lambda t, s, n: rng.integers(0, 256, t.shape, dtype=np.uint8))
    found = judged(model)
    assert found["id_top1"] < 0.3
    assert found["hf_ratio"] > 10
    assert found["ssim_face"] < 0.5
    # gray is nearer to everybody than one color is: the control says so
    assert found["nearer_to_strangers"] > 0.5


def test_half_way_is_between(judged: Any) -> None:
    half = FakeModel(lambda t, s, n: (t / 2 + s / 2).astype(np.uint8))
    found = judged(half)
    assert found["target_psnr_face_db"] < found["psnr_face_db"] < 60
    assert found["nearer_to_source"] == 1.0
    assert found["landmark_nme"] == pytest.approx(found["target_landmark_nme"] / 2, rel=0.1)
    # every color between two others: less spread than the truths have
    assert found["fid_identity"] > 0.01
    assert found["id_distance_source"] == pytest.approx(found["id_distance_target"], rel=0.02)


def test_the_pasted_swap_is_judged_and_the_mask_shows(judged: Any) -> None:
    small = Mask(center_px=(11.5, 13.0), radii_px=(4.0, 4.0), exponent=2.5, feather_px=1.0)
    model = dataclasses.replace(perfect(), facts=dataclasses.replace(FACTS, mask=small))
    found = judged(model)
    assert found["unpasted_psnr_face_db"] == 60.0
    assert found["psnr_face_db"] == found["truth_pasted_psnr_face_db"] < 40.0
    assert found["source_psnr_face_db"] == found["psnr_face_db"]


def test_what_a_model_does_outside_the_face_shows_unpasted(judged: Any) -> None:
    class Dark(FakeModel):
        def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
            half: Crops = targets // 2
            return half

    narrow = Mask(center_px=(11.5, 12.5), radii_px=(5.0, 5.0), exponent=2.5, feather_px=1.0)
    found = judged(Dark(None, dataclasses.replace(FACTS, mask=narrow)))
    assert found["psnr_outside_db"] == 60.0
    assert found["unpasted_psnr_outside_db"] < 20.0


def test_the_json_is_flat_finite_and_complete(
    evaluation: Callable[..., Evaluation], noise_dataset: Any
) -> None:
    bench = evaluation(seed=3, seeds=2)
    found = bench.judge(perfect(), teacher=bench.judge(idle())).to_json()
    text = json.dumps(found, allow_nan=False)
    assert all(isinstance(value, int | float | str) for value in json.loads(text).values())
    of_swaps = {"diversity", "diversity_identity"}
    of_pairs_of_models = {"psnr_teacher_db", "id_cosine_teacher"}
    for row in ROWS:
        prefix = "" if row == "swap" else f"{row}_"
        expected = set(METRICS) - OF_OCCLUDERS
        if row != "swap":
            expected -= of_pairs_of_models
        if row not in ("swap", "teacher"):
            expected -= of_swaps
        for metric in expected:
            value, lo, hi = (found[f"{prefix}{metric}{end}"] for end in ("", "_lo", "_hi"))
            assert lo - 1e-12 <= value <= hi + 1e-12, f"{prefix}{metric}"
    expected_facts = {"n": 12, "groups": 6, "gallery": 12, "steps": 1, "guidance": 1.0, "seed": 3}
    assert {key: found[key] for key in expected_facts} == expected_facts
    assert found["chance_top1"] == pytest.approx(1 / 12)
    assert found["evaluator_sha256"] == "c" * 64 and found["landmarker_sha256"] == "b" * 64
    assert found["model_sha256"] == found["teacher_model_sha256"] == "f" * 64
    assert found["dataset_digest"] == noise_dataset.digest
    assert found["dataset_as_published"] is False
    assert found["pairs_sha256"] == held_out_pairs(noise_dataset).sha256


def test_too_few_pairs_have_no_frechet_distance(judged: Any) -> None:
    # three dimensions need six pairs
    assert judged(idle(), limit=5)["fid_identity"] is None
    assert judged(idle(), limit=6)["fid_identity"] > 0


def test_diversity_is_measured_from_noise_to_noise(
    evaluation: Callable[..., Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    def noisy(target: Crops, source: Crops, noise: NDArray[np.float32]) -> Crops:
        gray = 128 + 10 * noise[:, :1, :1, :1]
        return np.broadcast_to(np.rint(gray), target.shape).astype(np.uint8)

    same = evaluation(seeds=3).judge(perfect()).to_json()
    assert same["diversity"] == same["diversity_identity"] == 0.0
    found = evaluation(seeds=40).judge(FakeModel(noisy)).to_json()
    # a normal of deviation 10 in every pixel, in each of three channels of the judge
    assert found["diversity"] == pytest.approx(10, rel=0.15)
    assert found["diversity_identity"] == pytest.approx(10 / 255 * 3**0.5, rel=0.15)
    monkeypatch.setattr("edgeswap_compress.evaluate.stage.SPREAD_PAIRS", 6)
    few = FakeModel(noisy)
    assert evaluation(seeds=2).judge(few).to_json()["diversity"] > 0
    assert [n for n, _ in few.calls] == [12, 6]
    assert "diversity" not in evaluation(seeds=1).judge(perfect()).to_json()


def test_a_student_is_compared_with_its_teacher(evaluation: Callable[..., Evaluation]) -> None:
    bench = evaluation()
    truths, targets = bench.judge(perfect()), bench.judge(idle())
    same = bench.judge(perfect(), teacher=truths).to_json()
    assert same["psnr_teacher_db"] == 60.0
    assert same["id_cosine_teacher"] == pytest.approx(1.0)
    other = bench.judge(perfect(), teacher=targets).to_json()
    assert other["psnr_teacher_db"] == pytest.approx(other["target_psnr_face_db"])
    assert other["id_cosine_teacher"] < 1
    assert other["teacher_id_top1"] == 0.0 and other["id_top1"] == 1.0
    assert other["teacher_steps"] == 1


def test_a_teacher_starts_from_the_same_noise(evaluation: Callable[..., Evaluation]) -> None:
    bench = evaluation(batch_size=5)
    teacher, student = perfect(), idle()
    bench.judge(student, teacher=bench.judge(teacher))
    assert teacher.calls == student.calls
    other = dataclasses.replace(FACTS, latent_shape=(3, 3, 3))
    with pytest.raises(
        InvalidEvaluation, match=r"latents are \(3, 3, 3\), the model's \(2, 3, 3\)"
    ):
        bench.judge(idle(), teacher=bench.judge(FakeModel(idle().inner, other)))


def test_reference_rows_are_judged_once(
    evaluation: Callable[..., Evaluation], color_judge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    embed = color_judge.embed
    monkeypatch.setattr(color_judge, "embed", lambda crops: seen.append(len(crops)) or embed(crops))
    bench = evaluation()
    first = bench.judge(perfect()).to_json()
    before = sum(seen)
    assert bench.judge(perfect()).to_json() == first
    # the swaps, pasted and not
    assert sum(seen) - before == 2 * 12


def test_a_model_without_an_autoencoder_lacks_that_row(judged: Any) -> None:
    with_it = judged(perfect())
    without = judged(dataclasses.replace(perfect(), reconstructs=False))
    gone = set(with_it) - set(without)
    assert gone and all(key.startswith("autoencoder_") for key in gone)


def test_batches_change_nothing_and_noise_follows_the_pairs(
    judged: Any, noise_dataset: Any
) -> None:
    def noisy(target: Crops, source: Crops, noise: NDArray[np.float32]) -> Crops:
        return (source * 0.5 + 20 * np.abs(noise[:, :1, :1, :1])).astype(np.uint8)

    one, many = FakeModel(noisy), FakeModel(noisy)
    small = judged(one, batch_size=1)
    large = judged(many, batch_size=5)
    assert small == large
    assert [n for n, _ in many.calls] == [5, 5, 2]
    total = held_out_pairs(noise_dataset).noise(0, FACTS.latent_shape).sum()
    assert sum(s for _, s in many.calls) == pytest.approx(total, abs=1e-3)


def test_the_limit_keeps_the_whole_gallery(judged: Any) -> None:
    found = judged(perfect(), limit=1)
    assert (found["n"], found["groups"], found["gallery"]) == (1, 1, 12)
    assert found["psnr_face_db_lo"] is None


def test_progress_ends_at_the_whole(
    noise_dataset: Any, color_judge: Any, brightness_landmarker: Any
) -> None:
    told: list[tuple[int, int, str]] = []
    Evaluation(
        noise_dataset,
        EvaluateConfig(batch_size=8, seeds=1),
        judge=color_judge,
        landmarker=brightness_landmarker,
        progress=lambda done, total, text: told.append((done, total, text)),
    ).judge(perfect())
    for text in ("swapping, seed 0", "judging swap", "judging truth", "judging source"):
        assert [(done, total) for done, total, what in told if what == text] == [
            (0, 12),
            (8, 12),
            (12, 12),
        ], text


def test_the_table_shows_every_row_and_metric(evaluation: Callable[..., Evaluation]) -> None:
    bench = evaluation(seeds=2)
    report = bench.judge(perfect(), teacher=bench.judge(idle()))
    lines = table([report]).splitlines()
    assert lines[0].split() == list(ROWS)
    shown = [metric for metric in METRICS if metric not in OF_OCCLUDERS]
    assert [line.split()[0] for line in lines[1:]] == shown
    assert "60.00 [60.00, 60.00]" in lines[1]
    assert lines[-1].split()[-1] == "–"


def test_several_step_counts_share_a_table(evaluation: Callable[..., Evaluation]) -> None:
    def of_steps(steps: int) -> EvaluationReport:
        facts = dataclasses.replace(FACTS, steps=steps)
        return bench.judge(FakeModel(idle().inner, facts))

    bench = evaluation()
    lines = table([of_steps(1), of_steps(25)]).splitlines()
    assert lines[0].split()[:5] == ["1", "steps", "25", "steps", "truth"]
    assert "unpasted" not in lines[0]
    assert lines[1].count("[") == 2


def test_another_resolution_is_an_error(judged: Any) -> None:
    model = dataclasses.replace(perfect(), facts=dataclasses.replace(FACTS, resolution_px=96))
    with pytest.raises(CropMismatch, match="resolution is 24 px, the model expects 96 px: render"):
        judged(model)


def test_another_alignment_is_an_error(judged: Any) -> None:
    moved = tuple((x + 1.0, y) for x, y in FACTS.landmarks_px)
    model = dataclasses.replace(perfect(), facts=dataclasses.replace(FACTS, landmarks_px=moved))
    with pytest.raises(CropMismatch, match=r"alignment is up to 4\.0 px from them"):
        judged(model)


def test_another_pair_list_is_refused_before_any_work(judged: Any) -> None:
    model = perfect()
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


def test_a_control_needs_strangers(judged: Any, noise_dataset: Any) -> None:
    noise_dataset.groups = 1
    found = judged(perfect())
    assert "nearer_to_strangers" not in found
    assert found["id_top1"] == 1.0
    assert not any(isinstance(v, float) and math.isnan(v) for v in found.values())
