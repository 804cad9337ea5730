"""Put together what the demo has measured, for demo.json and the page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeswap_compress.checkpoint.inspect import describe
from edgeswap_export.demo._overview import overview
from edgeswap_runtime.doctor import examine

HOW_TIMED = (
    "One swap each in turn, in one process, after a warm-up; medians. A student's time is end to "
    "end in the runtime: detection, alignment, encoding, sampling, decoding and paste-back of a "
    "whole picture, with the source's identity computed once. The teacher's time is the reference "
    "torch pipeline on crops that are aligned already, at its default steps and guidance; its "
    "detection and paste-back are not counted. The headline compares float32 with float32."
)
HOW_COMPARED = (
    "Peak signal-to-noise ratio inside the face against the exact truth: {pairs} rendered pairs "
    "of the packaged dataset, on which the student that was made just now was distilled; more is "
    "nearer. A target that is left as it is gets {unchanged:.1f} dB."
)
ABOUT_PICTURES = (
    "The packaged portraits are renders of people who do not exist. All swapped pictures are "
    "generated, and say so in their metadata."
)
BUSY = 1.5
"""Ratio of median to shortest time from which on the machine was busy with other programs."""

TITLES = {
    "teacher-float32": ("teacher", "teacher, torch float32"),
    "teacher-bfloat16": ("teacher", "teacher, torch bfloat16"),
    "student": ("student", "packaged student, runtime float32"),
    "made-student": ("made-student", "student made just now, runtime float32"),
}
"""What is timed -> which model it is, and its title in the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the demo has measured.

    Attributes:
        rows: for each pair of photos, caption -> (H, W, 3) uint8 RGB.
        times_ms: what is timed -> milliseconds of each call.
        fidelity_db: model -> mean PSNR against the truth; and "unchanged".
        pairs: how many pairs that is the mean of.
    """

    rows: list[dict[str, NDArray[np.uint8]]]
    times_ms: dict[str, list[float]]
    fidelity_db: dict[str, float]
    pairs: int


def gather_facts(measured: Measured, paths: Mapping[str, Path]) -> dict[str, Any]:
    """Put together what was measured and what the checkpoints hold.

    Args:
        measured: times and figures.
        paths: "teacher", "student" and "made-student" -> checkpoint.

    Returns:
        a JSON object with unrounded numbers.
    """
    times = measured.times_ms
    medians = {name: summary(values)["median_ms"] for name, values in times.items()}
    described = {name: describe(path) for name, path in paths.items()}
    return {
        "teacher_torch_ms": medians["teacher-float32"],
        "teacher_torch_bfloat16_ms": medians.get("teacher-bfloat16"),
        "teacher_steps": described["teacher"]["sampling"]["steps"],
        "student_runtime_ms": medians["student"],
        "made_student_runtime_ms": medians["made-student"],
        "speedup": medians["teacher-float32"] / medians["student"],
        "made_speedup": medians["teacher-float32"] / medians["made-student"],
        "fidelity_db": measured.fidelity_db,
        "rows": [_row(times, key, described, measured) for key in times],
        "times_ms": times,
        "how_timed": HOW_TIMED,
        "busy": busy_note(times),
        "how_compared": HOW_COMPARED.format(
            pairs=measured.pairs, unchanged=measured.fidelity_db["unchanged"]
        ),
        "about_pictures": ABOUT_PICTURES,
        "environment": _environment(),
    }


def busy_note(times_ms: Mapping[str, Sequence[float]]) -> str:
    """Say that other programs kept the machine busy; empty where none did.

    Args:
        times_ms: what is timed -> milliseconds of each call.
    """
    slowed = max(summary(times)["median_ms"] / min(times) for times in times_ms.values())
    if slowed < BUSY:
        return ""
    return (
        f"Other programs were at work while this was timed: a median is {slowed:.1f} times the"
        " least time of the same swap. Times and factors are better on an idle machine."
    )


def summary(times_ms: Sequence[float]) -> dict[str, float]:
    """Return median, shortest and longest time, milliseconds, and their number."""
    return {
        "median_ms": statistics.median(times_ms),
        "min_ms": min(times_ms),
        "max_ms": max(times_ms),
        "n": len(times_ms),
    }


def overview_of(row: Mapping[str, NDArray[np.uint8]], facts: Mapping[str, Any]) -> Any:
    """Draw one row of pictures with the time of each swap; (H, W, 3) uint8 RGB."""
    return overview(
        {
            "source": row["source"],
            "target": row["target"],
            f"teacher, {facts['teacher_torch_ms']:.0f} ms": row["teacher"],
            f"student, {facts['student_runtime_ms']:.0f} ms": row["student"],
        }
    )


def _row(
    times: Mapping[str, list[float]],
    key: str,
    described: Mapping[str, dict[str, Any]],
    measured: Measured,
) -> dict[str, Any]:
    model, title = TITLES[key]
    about = described[model]
    per_step = 1 if about["sampling"]["guidance_scale"] == 1.0 else 2
    known = key != "teacher-bfloat16"  # its swaps were not compared
    return {
        "name": title,
        **summary(times[key]),
        "unet_evaluations": about["sampling"]["steps"] * per_step,
        "unet_macs": about["macs"]["unet"],
        "bytes": sum(about["bytes"].values()),
        "fidelity_db": measured.fidelity_db[model] if known else None,
    }


def _environment() -> dict[str, Any]:
    report = examine()
    model = report["cpu"].get("model") or "unknown CPU"
    capability = torch.backends.cpu.get_cpu_capability()
    threads = torch.get_num_threads()
    line = f"{model}, torch {torch.__version__} with {threads} threads and {capability}"
    return {"summary": line, "doctor": report}
