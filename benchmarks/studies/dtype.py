"""Does `--dtype auto` take the faster dtype of this machine, in every stage that torch computes?

One step of each stage on the packaged models (loss and gradients, or swaps for evaluate) in float32
and in bfloat16, in turns in one process; the least processor time of each, which a busy neighbor
hardly changes, and the medians of both kinds of time. `auto` computes what the dtype it takes does,
so its time is that dtype's.

    python benchmarks/studies/dtype.py
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python benchmarks/studies/dtype.py

Bar: auto takes at most 1.05 times the better one's time in each stage; exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeswap_compress import Checkpoint, SwapPipeline, default_checkpoint
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import convert
from edgeswap_compress.data import read_dataset
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.distill.material.trajectories import teacher_trajectories
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.distill.methods.trajectory import TrajectoryObjective
from edgeswap_compress.evaluate.models import Sampling, open_model
from edgeswap_compress.fit.config import FitConfig, FitOptions, changed
from edgeswap_compress.fit.dtype import dtype_line, probe
from edgeswap_compress.fit.latent_cache import LatentGroups, encode_dataset
from edgeswap_compress.fit.loop import Draw, Objective
from edgeswap_compress.fit.losses import decoder_metric
from edgeswap_compress.fit.material.pairs import PairSet
from edgeswap_compress.fit.pairing import pairing_of
from edgeswap_compress.personalize.config import PersonalizeConfig
from edgeswap_compress.personalize.objective import PersonalizeObjective
from edgeswap_compress.personalize.photos import person_pictures
from edgeswap_compress.prune.config import RecoverConfig
from edgeswap_compress.prune.recover.objective import RecoverData, RecoverObjective
from edgeswap_compress.train.config import DenoiserConfig
from edgeswap_compress.train.denoiser import DenoiserObjective
from edgeswap_compress.train.examples import Examples

DTYPES = ("float32", "bfloat16")
BAR = 1.05
Step = Callable[[int], object]


@dataclass
class Times:
    """Seconds of each step in one dtype."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self, step: Step, number: int) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        step(number)
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)


@dataclass(frozen=True)
class Models:
    """The packaged models in float32, and the packaged pictures in the latents of each."""

    teacher: Checkpoint
    student: Checkpoint
    of_teacher: LatentGroups
    of_student: LatentGroups

    @classmethod
    def read(cls) -> Models:
        teacher, student = (Checkpoint.load(default_checkpoint(n)) for n in ("teacher", "student"))
        dataset = read_dataset(calibration_dataset())
        with tempfile.TemporaryDirectory() as folder:
            latents = [
                encode_dataset(model.vae, model.swap, dataset, Path(folder) / name, "")
                for name, model in (("teacher", teacher), ("student", student))
            ]
        return cls(teacher, student, *latents)


def as_step(objective: Objective, batch: int) -> Step:
    """Loss and gradients of a batch."""

    def step(number: int) -> None:
        objective.loss(Draw.of(0, number), batch, 0.5)[0].backward()
        objective.module.zero_grad(set_to_none=True)

    return step


def in_dtype(model: Checkpoint, dtype: str) -> Checkpoint:
    """A copy of a model in a dtype."""
    return copy.deepcopy(model).to(getattr(torch, dtype))


def train(models: Models, dtype: str, batch: int) -> Step:
    """A step of the teacher's denoiser."""
    teacher = in_dtype(models.teacher, dtype)
    dataset = read_dataset(calibration_dataset())
    examples = Examples(models.of_teacher, pairing_of(dataset, 0.3), None)
    sight = examples.cached(Draw.of(0, 0), 8)
    objective = DenoiserObjective(
        teacher.unet.train(),
        teacher.conditioner.train(),
        teacher.scheduler,
        teacher.swap,
        DenoiserConfig(fit=FitConfig(samples=batch, batch_size=batch)),
        examples,
        examples,
        judge=copy.deepcopy(teacher.conditioner),
        structure_weight=0.0,
        metric=decoder_metric(teacher.vae, teacher.swap, sight.target, sight.mask),
    )
    return as_step(objective, batch)


def distill(models: Models, dtype: str, batch: int) -> Step:
    """A step of the default method, trajectory, from the teacher to itself."""
    teacher, student = (in_dtype(models.teacher, dtype) for _ in range(2))
    config = changed(
        DistillConfig(), {"teacher.targets": batch, "fit.batch_size": batch, "fit.dtype": dtype}
    )
    data = models.of_teacher
    pairs = PairSet(known=data, own=data)
    inputs = DistillInputs(
        student=student,
        teacher=teacher,
        pairs=pairs,
        held_out=pairs,
        judge=teacher.conditioner,
        config=config,
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = teacher_trajectories(teacher, pairs, config, Path(folder), "")
    return as_step(TrajectoryObjective(inputs, paths), batch)


def recover(models: Models, dtype: str, batch: int) -> Step:
    """A step of the recovery of an unpruned U-Net."""
    teacher = in_dtype(models.teacher, dtype)
    pairs = PairSet(known=models.of_teacher, own=models.of_teacher)
    data = RecoverData(train=pairs, held_out=pairs)
    unet = convert(copy.deepcopy(teacher.unet), getattr(torch, dtype))
    return as_step(
        RecoverObjective(teacher, unet, RecoverConfig(fit=FitOptions(dtype=dtype)), data), batch
    )


def personalize(models: Models, dtype: str, batch: int) -> Step:
    """A step of the student's adapters, on renders in the place of photos."""
    student = in_dtype(models.student, dtype)
    config = changed(PersonalizeConfig(consent="nobody, a render, a study"), {"fit.dtype": dtype})
    dataset, pipeline = read_dataset(calibration_dataset()), SwapPipeline.from_checkpoint(student)
    crops, others = dataset.images(0)[:2], dataset.images(1)[:2]
    with tempfile.TemporaryDirectory() as folder:
        pictures = person_pictures(pipeline, crops, others, 0, Path(folder) / "worn")
        found = encode_dataset(
            student.vae, student.swap, pictures, Path(folder) / "person", "", flips=False
        )
    person = PairSet(known=found, own=found)
    strangers = PairSet(known=models.of_student, own=models.of_student)
    return as_step(PersonalizeObjective(student, config, pictures, person, strangers), batch)


def evaluate(models: Models, dtype: str, batch: int) -> Step:
    """Swaps of the teacher, in two steps."""
    crops = read_dataset(calibration_dataset()).images(0)[:batch]
    swap, random = models.teacher.swap, np.random.default_rng(0)
    shape = (len(crops), swap.latent_channels, swap.latent_size, swap.latent_size)
    noise = random.standard_normal(shape, dtype=np.float32)
    opened = open_model(default_checkpoint("teacher"), Sampling(steps=2, dtype=dtype))
    with opened as model:  # a checkpoint in torch, which has nothing to close
        return lambda number: model.swap(crops, crops[::-1], noise)


STAGES = {
    "train": train,
    "distill": distill,
    "recover": recover,
    "personalize": personalize,
    "evaluate": evaluate,
}


def measure(steps: dict[str, Step], rounds: int, budget_s: float) -> dict[str, Times]:
    """Times of the steps in turns, after one of each to warm up; two rounds at least."""
    times = {dtype: Times() for dtype in steps}
    begun = time.monotonic()
    for step in steps.values():
        step(0)
    for number in range(1, 1 + rounds):
        if number > 2 and time.monotonic() - begun > budget_s:
            break
        for dtype, step in steps.items():
            times[dtype].run(step, number)
    return times


def row(stage: str, times: dict[str, Times], taken: str) -> dict[str, Any]:
    """What is printed of a stage."""
    least = {dtype: min(found.processor) for dtype, found in times.items()}
    medians = {
        kind: {dtype: statistics.median(getattr(found, kind)) for dtype, found in times.items()}
        for kind in ("wall", "processor")
    }
    return {
        "stage": stage,
        "taken": taken,
        "rounds": len(times["float32"].wall),
        "least_processor_s": least,
        "bfloat16_over_float32": least["bfloat16"] / least["float32"],
        "bfloat16_over_float32_wall_median": medians["wall"]["bfloat16"]
        / medians["wall"]["float32"],
        "auto_over_better": least[taken] / min(least.values()),
        "median_s": medians,
    }


def main() -> int:
    """Measure every stage, print a table and, with --json, everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4, help="samples a step (default 4)")
    parser.add_argument("--rounds", type=int, default=7, help="steps of each dtype (default 7)")
    parser.add_argument(
        "--budget", type=float, default=20.0, metavar="SECONDS", help="a stage (default 20)"
    )
    parser.add_argument(
        "--stages", nargs="+", choices=STAGES, default=list(STAGES), help="(default: all)"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    lines = [dtype_line("auto", training=training) for training in (True, False)]
    found, models, rows = probe(), Models.read(), []
    if not args.json:
        print(f"{torch.get_num_threads()} threads; training {lines[0]}; forward {lines[1]}")
        print("stage        taken     bfloat16/float32 (wall median)  auto/better  rounds")
    for stage in args.stages:
        steps = {dtype: STAGES[stage](models, dtype, args.batch) for dtype in DTYPES}
        taken = found.faster(training=stage != "evaluate")
        rows.append(row(stage, measure(steps, args.rounds, args.budget), taken))
        if not args.json:
            print(told(rows[-1]), flush=True)
    if args.json:
        print(json.dumps({"threads": torch.get_num_threads(), "probe": lines, "rows": rows}))
    return 0 if all(one["auto_over_better"] <= BAR for one in rows) else 1


def told(one: dict[str, Any]) -> str:
    """A row of the table."""
    return (
        f"{one['stage']:12} {one['taken']:9} {one['bfloat16_over_float32']:16.2f} "
        f"({one['bfloat16_over_float32_wall_median']:.2f}) {one['auto_over_better']:20.2f}  "
        f"{one['rounds']}"
    )


if __name__ == "__main__":
    sys.exit(main())
