"""The distillation stage: teacher and student checkpoints in, few-step student checkpoint out."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress._checks import usual_run
from edgeswap_compress._progress import StageProgress, steady
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import works_normalized
from edgeswap_compress.conditioning.attention import use_plain_attention
from edgeswap_compress.conditioning.source import SourceConditioner
from edgeswap_compress.data import read_dataset
from edgeswap_compress.distill._compatibility import (
    DistillFiles,
    check_autoencoder,
    check_distillation,
    check_one_latent_space,
)
from edgeswap_compress.distill._finetune_decoder import VAE
from edgeswap_compress.distill._task import DistillInputs, Student, StudentTask
from edgeswap_compress.distill._trajectories import teacher_trajectories
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.distill.methods.dmd2 import Dmd2Objective
from edgeswap_compress.distill.methods.lcm import LcmObjective
from edgeswap_compress.distill.methods.progressive import ProgressiveObjective
from edgeswap_compress.distill.methods.trajectory import TrajectoryObjective
from edgeswap_compress.distill.phases import DistillPhases, Fitted, trained, trained_module
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_compress.fit.config import FitConfig, FitMachine
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.latent_cache import LatentGroups, encode_dataset
from edgeswap_compress.fit.loop import Cadence, fit
from edgeswap_compress.fit.processes import processes, taken_machine
from edgeswap_compress.fit.run_folder import (
    claim,
    fingerprint,
    last_figures,
    reporter,
    say,
    settings_of,
)
from edgeswap_compress.fit.savings import prepare_unet
from edgeswap_compress.fit.trackers import Tracker
from edgeswap_compress.train.config import IdentityConfig
from edgeswap_compress.train.identity import IdentityObjective
from edgeswap_compress.train.pairing import rendered
from edgeswap_runtime.files import canonical_json

WATCHED = "fixed_to_truth"
"""The figure that ``patience`` waits for."""


def distill(
    teacher: Path,
    config: DistillConfig,
    out: Path,
    *,
    student: Path | None = None,
    data: Path | None = None,
    run: Path | None = None,
    held_out: Path | None = None,
    autoencoder: Path | None = None,
    cadence: Cadence | None = None,
    tracker: Tracker | None = None,
    progress: StageProgress | None = None,
) -> Path | None:
    """Teach a student to do in ``config.steps`` evaluations what the teacher does in many.

    Args:
        teacher: checkpoint folder that answers.
        config: method, budget and losses.
        out: new checkpoint folder.
        student: checkpoint folder to start from, such as a pruned one; the teacher when None.
        data: rendered dataset, whose pictures make the inputs and, where wanted, the truths; the
            packaged one when None.
        run: folder with caches and state, which the same call continues; ``OUT.run`` when None.
        held_out: dataset for the figures and the preview; a part of ``data`` when None.
        autoencoder: checkpoint whose small autoencoder the student gets; its own when None.
        cadence: how often to save, evaluate and draw; when to stop early.
        tracker: receives the losses and figures.
        progress: told at least every 5 s what is being done and how much of it is; also from
            another thread, never from two at once.

    Returns:
        ``out``, or None if the cadence stopped it early.

    Raises:
        OutputExists: ``out`` exists.
        BadFolder, DatasetMismatch: an input is missing, or of another kind.
        InvalidCheckpoint: the student does not work in the teacher's latent space.
        TrainingStopped: the run folder belongs to another call.
    """
    files = DistillFiles(
        teacher=teacher,
        student=student or teacher,
        autoencoder=autoencoder,
        data=data or calibration_dataset(),
        held_out=held_out,
        run=run or usual_run(out),
    )
    check_distillation(files, out)
    with steady(progress) as told:
        return _distill(files, out, config, cadence, tracker, reporter(told))


def _key(files: DistillFiles, config: DistillConfig) -> dict[str, str]:
    """Give what the run folder belongs to."""
    student = (files.student, files.autoencoder)
    inputs = {
        "teacher": fingerprint(files.teacher),
        "student": [None if path is None else fingerprint(path) for path in student],
        "dataset": read_dataset(files.data).digest,
        "held_out": None if files.held_out is None else read_dataset(files.held_out).digest,
        "config": settings_of(config),
    }
    run = hashlib.sha256(canonical_json(inputs)).hexdigest()
    return {"teacher": fingerprint(files.teacher), "run": run}


def _distill(
    files: DistillFiles,
    out: Path,
    config: DistillConfig,
    cadence: Cadence | None,
    tracker: Tracker | None,
    report: Callable[[str], Any],
) -> Path | None:
    say(report("checkpoints"), "reading teacher and student")
    config = dataclasses.replace(config, fit=taken_machine(config.fit))
    start = partial(load_student, files.student, files.autoencoder)
    teacher, student = load_pair(files.teacher, start(), config.fit)
    run, key = files.run, _key(files, config)
    with processes().main_first():
        claim(run, key, of="distillation", same="teacher, student, data and settings")
        dtypes = note_dtype(run, config.fit.dtype)
    cadence = cadence or Cadence(save_s=60.0, evaluate_s=60.0)
    if config.budget.patience:
        cadence = dataclasses.replace(cadence, patience=config.budget.patience, watch=WATCHED)
    inputs = _inputs(teacher, student, config, files, report)
    if config.losses.judge_samples:
        judged = _with_fresh_judge(inputs, run / "judge", cadence, report("judge"))
        if judged is None:
            return None
        inputs = judged
    phases = DistillPhases(teacher, config, run, cadence, tracker, report)
    fitted = _fitted(phases, inputs, run, key, report)
    if fitted is None:
        return None
    if config.decoder.share > 0:
        pictures = read_dataset(files.data), read_dataset(files.held_out or files.data)
        if not phases.finetune_decoder(fitted.task, student, pictures):
            return None
    say(report("checkpoint"), "writing the student")
    with processes().main_first():
        if not processes().main:
            return out
        asked = dataclasses.asdict(config)
        asked["fit"]["dtype"], asked["teacher"]["steps"] = dtypes, config.teacher_steps
        return _taught(start(), asked, fitted, run, key["teacher"]).save(out)


def _fitted(
    phases: DistillPhases,
    inputs: DistillInputs,
    run: Path,
    key: dict[str, str],
    report: Callable[[str], Any],
) -> Fitted | None:
    """Fit the student by its method, or leave it where the decoder's phase is all."""
    if inputs.config.decoder.share == 1.0:
        return Fitted(Student(inputs), None, 0)
    return phases.fit(_tasks(inputs, run, key, report))


def _taught(
    start: Checkpoint, asked: dict[str, Any], fitted: Fitted, run: Path, teacher: str
) -> Checkpoint:
    """Assemble the student: as it began, with what it has learned, and how.

    Args:
        start: the student before.
        asked: the config, as the history keeps it.
        fitted: what was fitted.
        run: folder of the run.
        teacher: its fingerprint.
    """
    student, figures = start, dict[str, float]()
    if fitted.folder is not None:
        student, figures = trained(start, fitted.folder), last_figures(fitted.folder)
    if asked["decoder"]["share"] > 0:
        trained_module(student.vae, run / "decoder", f"{VAE}.")
        figures |= {f"decoder_{k}": v for k, v in last_figures(run / "decoder").items()}
    details = {
        **asked,
        "samples": fitted.samples,
        "teacher_sha256": teacher,
        "figures": figures,
    }
    once = student.swap.sampled(sampler="ddim", steps=asked["steps"], guidance_scale=1.0)
    swap = once.with_stage("distill", details)
    return dataclasses.replace(student, swap=swap)


def _inputs(
    teacher: Checkpoint,
    student: Checkpoint,
    config: DistillConfig,
    files: DistillFiles,
    report: Callable[[str], Any],
) -> DistillInputs:
    """Encode the datasets, or read what was encoded, with each of the autoencoders."""
    found: dict[tuple[str, str], LatentGroups] = {}
    for place, model in (("teacher", teacher), ("student", student)):
        for name, path in (("latents", files.data), ("latents-heldout", files.held_out)):
            if path is None:
                found[place, name] = found[place, "latents"]
            elif place == "student" and not works_normalized(student.vae):
                found[place, name] = found["teacher", name]
            else:
                file = files.run / f"{place}-{name}.safetensors"
                with processes().main_first():  # the others read the cache
                    found[place, name] = _encode(model, path, file, name == "latents", report)
    return DistillInputs(
        student=student,
        teacher=teacher,
        data=found["teacher", "latents"],
        held_out=found["teacher", "latents-heldout"],
        own=found["student", "latents"],
        own_held_out=found["student", "latents-heldout"],
        judge=teacher.conditioner,
        config=config,
    )


def _encode(
    model: Checkpoint, path: Path, file: Path, flips: bool, report: Callable[[str], Any]
) -> LatentGroups:
    dataset = read_dataset(path)
    return encode_dataset(  # the run folder is one pair's, so the name says whose latents they are
        model.vae,
        model.swap,
        dataset,
        file,
        dataset.digest,
        flips=flips,
        progress=report("latents"),
    )


def _tasks(
    inputs: DistillInputs, run: Path, key: dict[str, str], report: Callable[[str], Any]
) -> Iterator[tuple[str, StudentTask]]:
    """List what is fitted one after the other, each from where the one before it has led."""
    config = inputs.config
    if config.method == "trajectory":
        with processes().main_first(), config.fit.compute().autocast():
            trajectories = teacher_trajectories(
                inputs.teacher,
                inputs.data,
                config,
                run / "trajectories",
                key["run"],
                report("trajectories"),
            )
        yield "fit", TrajectoryObjective(inputs, trajectories)
    elif config.method == "lcm":
        yield "fit", LcmObjective(inputs)
    elif config.method == "dmd2":
        yield "fit", Dmd2Objective(inputs)
    else:
        steps, halving = config.teacher_steps // 2, inputs
        while steps >= config.steps:
            first = halving is inputs
            task = ProgressiveObjective(halving, steps=steps, guided=first)
            yield f"fit-{steps:03d}", task
            known = copy.deepcopy(inputs.student)
            halving = dataclasses.replace(inputs, teacher=known)
            steps //= 2


def _with_fresh_judge(
    inputs: DistillInputs, run: Path, cadence: Cadence, progress: Any
) -> DistillInputs | None:
    """Train an identity encoder that nothing was trained against yet; None if stopped early."""
    settings: Any = inputs.teacher.conditioner.config
    config = inputs.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.fit.seed + 1)
        judge = SourceConditioner(**{k: v for k, v in settings.items() if not k.startswith("_")})
    compute = config.fit.compute()
    compute.place(judge.train())
    wanted = FitConfig(
        samples=config.losses.judge_samples,
        batch_size=min(192, config.losses.judge_samples),
        learning_rate=1e-3,
        warmup_steps=50,
        weight_decay=0.02,
        ema_decay=0.99,
        seed=config.fit.seed,
    )
    objective = IdentityObjective(
        judge,
        IdentityConfig(fit=wanted, widths=tuple(settings.widths), vector_size=settings.vector_size),
        rendered(inputs.data),
        rendered(inputs.held_out),
    )
    whole = dataclasses.replace(cadence, patience=0)
    if not fit(objective, wanted, run, compute=compute, cadence=whole, progress=progress):
        return None
    return dataclasses.replace(inputs, judge=judge)


def load_student(path: Path, autoencoder: Path | None) -> Checkpoint:
    """Load a student as it begins: as on disk, or with another checkpoint's small autoencoder.

    Raises:
        InvalidCheckpoint: that one's autoencoder is not small, or has latents of another shape.
    """
    student = Checkpoint.load(path)
    if autoencoder is None:
        return student
    other = Checkpoint.load(autoencoder)
    check_autoencoder(autoencoder, other.swap, student.swap)
    made = [entry for entry in other.swap.history if entry["stage"] == "distill-autoencoder"]
    swap = dataclasses.replace(
        student.swap, latents=other.swap.latents, history=(*student.swap.history, *made[-1:])
    )
    return dataclasses.replace(student, vae=other.vae, swap=swap)


def load_pair(
    teacher: Path, student: Checkpoint, machine: FitMachine
) -> tuple[Checkpoint, Checkpoint]:
    """Load teacher and student where they compute, checked to work in one latent space.

    Args:
        teacher: its folder.
        student: as loaded; it is converted in place.
        machine: the device and dtype, and what saves memory there.

    Raises:
        InvalidCheckpoint: they do not, or one is damaged.
    """
    compute = machine.compute()
    both = tuple(
        model.to(compute.weights, compute.device) for model in (Checkpoint.load(teacher), student)
    )
    for model in both:
        if compute.device.type == "cpu":
            use_plain_attention(model.unet)  # faster than fused at these sizes
        prepare_unet(model.unet, machine, learns=model is student)
    check_one_latent_space(both[0].swap, both[1].swap)
    if not any(works_normalized(model.vae) for model in both):
        spaces = [(model.swap.latents.mean, model.swap.latents.std) for model in both]
        if spaces[0] != spaces[1]:
            raise InvalidCheckpoint(
                "student's autoencoder", expected="the teacher's latent space", found="another"
            )
    return both[0], both[1]
