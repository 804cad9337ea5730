"""A student is compared with its teacher, on the same pairs from the same noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from edgeswap_compress.evaluate._errors import (
    InvalidEvaluation,
)
from edgeswap_compress.evaluate.stage import Evaluation


def test_a_student_is_compared_with_its_teacher(
    fakes: Any, evaluation: Callable[..., Evaluation]
) -> None:
    bench = evaluation()
    truths, targets = bench.judge(fakes.perfect()), bench.judge(fakes.idle())
    same = bench.judge(fakes.perfect(), teacher=truths).to_json()
    assert same["psnr_teacher_db"] == 60.0
    assert same["id_cosine_teacher"] == pytest.approx(1.0)
    other = bench.judge(fakes.perfect(), teacher=targets).to_json()
    assert other["psnr_teacher_db"] == pytest.approx(other["target_psnr_face_db"])
    assert other["id_cosine_teacher"] < 1
    assert other["teacher_id_top1"] == 0.0 and other["id_top1"] == 1.0
    assert other["teacher_steps"] == 1


def test_a_teacher_starts_from_the_same_noise(
    fakes: Any, evaluation: Callable[..., Evaluation]
) -> None:
    bench = evaluation(batch_size=5)
    teacher, student = fakes.perfect(), fakes.idle()
    bench.judge(student, teacher=bench.judge(teacher))
    assert teacher.calls == student.calls
    other = dataclasses.replace(fakes.FACTS, latent_shape=(3, 3, 3))
    with pytest.raises(
        InvalidEvaluation, match=r"latents are \(3, 3, 3\), the model's \(2, 3, 3\)"
    ):
        bench.judge(fakes.idle(), teacher=bench.judge(fakes.FakeModel(fakes.idle().inner, other)))
