"""What a report says: provenance, JSON, reference rows, tables, progress."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from edgeswap_compress.evaluate._pairs import held_out_pairs
from edgeswap_compress.evaluate.config import EvaluateConfig
from edgeswap_compress.evaluate.report import METRICS, PROVENANCE, ROWS, EvaluationReport, table
from edgeswap_compress.evaluate.stage import Evaluation

OF_OCCLUDERS = {"psnr_occluded_db", "psnr_face_covered_db", "psnr_face_clear_db"}
"""What a set without occluders has no row of."""


def test_every_report_says_what_was_judged_on_what_and_by_whom(fakes: Any, judged: Any) -> None:
    found = judged(fakes.perfect(), seed=3)
    assert all(found[name] is not None for name in PROVENANCE)
    assert (found["seed"], found["seeds"], found["n"]) == (3, 1, 12)


def test_the_json_is_flat_finite_and_complete(
    fakes: Any, evaluation: Callable[..., Evaluation], noise_dataset: Any
) -> None:
    bench = evaluation(seed=3, seeds=2)
    found = bench.judge(fakes.perfect(), teacher=bench.judge(fakes.idle())).to_json()
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


def test_reference_rows_are_judged_once(
    fakes: Any,
    evaluation: Callable[..., Evaluation],
    color_judge: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    embed = color_judge.embed
    monkeypatch.setattr(color_judge, "embed", lambda crops: seen.append(len(crops)) or embed(crops))
    bench = evaluation()
    first = bench.judge(fakes.perfect()).to_json()
    before = sum(seen)
    assert bench.judge(fakes.perfect()).to_json() == first
    # the swaps, pasted and not
    assert sum(seen) - before == 2 * 12


def test_a_model_without_an_autoencoder_lacks_that_row(fakes: Any, judged: Any) -> None:
    with_it = judged(fakes.perfect())
    without = judged(dataclasses.replace(fakes.perfect(), reconstructs=False))
    gone = set(with_it) - set(without)
    assert gone and all(key.startswith("autoencoder_") for key in gone)


def test_progress_ends_at_the_whole(
    fakes: Any, noise_dataset: Any, color_judge: Any, brightness_landmarker: Any
) -> None:
    told: list[tuple[int, int, str]] = []
    Evaluation(
        noise_dataset,
        EvaluateConfig(batch_size=8, seeds=1),
        judge=color_judge,
        landmarker=brightness_landmarker,
        progress=lambda done, total, text: told.append((done, total, text)),
    ).judge(fakes.perfect())
    for text in ("swapping, seed 0", "judging swap", "judging truth", "judging source"):
        assert [(done, total) for done, total, what in told if what == text] == [
            (0, 12),
            (8, 12),
            (12, 12),
        ], text


def test_the_table_shows_every_row_and_metric(
    fakes: Any, evaluation: Callable[..., Evaluation]
) -> None:
    bench = evaluation(seeds=2)
    report = bench.judge(fakes.perfect(), teacher=bench.judge(fakes.idle()))
    lines = table([report]).splitlines()
    assert lines[0].split() == list(ROWS)
    shown = [metric for metric in METRICS if metric not in OF_OCCLUDERS]
    assert [line.split()[0] for line in lines[1:]] == shown
    assert "60.00 [60.00, 60.00]" in lines[1]
    assert lines[-1].split()[-1] == "–"


def test_several_step_counts_share_a_table(
    fakes: Any, evaluation: Callable[..., Evaluation]
) -> None:
    def of_steps(steps: int) -> EvaluationReport:
        facts = dataclasses.replace(fakes.FACTS, steps=steps)
        return bench.judge(fakes.FakeModel(fakes.idle().inner, facts))

    bench = evaluation()
    lines = table([of_steps(1), of_steps(25)]).splitlines()
    assert lines[0].split()[:5] == ["1", "steps", "25", "steps", "truth"]
    assert "unpasted" not in lines[0]
    assert lines[1].count("[") == 2
