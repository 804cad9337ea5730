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
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.conditioning.source import SourceConditioner
from edgeswap_compress.distill._compatibility import DistillFiles, check_distillation
from edgeswap_compress.distill._finetune_decoder import VAE
from edgeswap_compress.distill._inputs import (
    load_inputs,
    load_pair,
    load_student,
    pictures_of_run,
)
from edgeswap_compress.distill._task import Student, StudentTask
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.distill.few_steps import refit_output
from edgeswap_compress.distill.material.trajectories import answers_of, teacher_trajectories
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.distill.methods.dmd2 import Dmd2Objective
from edgeswap_compress.distill.methods.lcm import LcmObjective
from edgeswap_compress.distill.methods.progressive import ProgressiveObjective
from edgeswap_compress.distill.methods.trajectory import TrajectoryObjective
from edgeswap_compress.distill.phases import DistillPhases, Fitted, trained
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.loop import Cadence, fit
from edgeswap_compress.fit.pairing import GroupPairing, truths_known
from edgeswap_compress.fit.processes import processes, taken_machine
from edgeswap_compress.fit.run_folder import (
    claim,
    fingerprint,
    last_figures,
    reporter,
    say,
    settings_of,
    trained_module,
)
from edgeswap_compress.fit.trackers import Tracker
from edgeswap_compress.progress import StageProgress, steady
from edgeswap_compress.train.config import IdentityConfig
from edgeswap_compress.train.examples import Examples
from edgeswap_compress.train.identity import IdentityObjective
from edgeswap_runtime.files import canonical_json

WATCHED = "fixed_to_truth"
"""The figure that ``patience`` waits for."""

WATCHED_WITHOUT_TRUTHS = "fixed_to_teacher"
"""The same where nobody knows a truth."""


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
    judge: Path | None = None,
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
        data: dataset of any kind, whose pictures make the inputs and, where they are known, the
            truths; the packaged one when None.
        run: folder with caches and state, which the same call continues; ``OUT.run`` when None.
        held_out: dataset for the figures and the preview; a part of ``data`` when None.
        autoencoder: checkpoint whose small autoencoder the student gets; its own when None.
        judge: ONNX recognizer of ArcFace's crops that judges identity in the figures; no loss sees
            it.
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
        recognizer=judge,
    )
    check_distillation(files, out, config)
    with steady(progress) as told:
        return _distill(files, out, config, cadence, tracker, reporter(told))


def _key(files: DistillFiles, config: DistillConfig) -> dict[str, str]:
    """Give what the run folder belongs to."""
    student = (files.student, files.autoencoder)
    digests = [pictures.digest for pictures in pictures_of_run(files)]
    inputs = {
        "teacher": fingerprint(files.teacher),
        "student": [None if path is None else fingerprint(path) for path in student],
        "dataset": digests[0],
        "held_out": None if files.held_out is None else digests[1],
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
        watch = WATCHED if truths_known(pictures_of_run(files)[1]) else WATCHED_WITHOUT_TRUTHS
        cadence = dataclasses.replace(cadence, patience=config.budget.patience, watch=watch)
    inputs = load_inputs(teacher, student, config, files, report)
    if config.losses.judge_samples:
        judged = _with_fresh_judge(inputs, run / "judge", cadence, report("judge"))
        if judged is None:
            return None
        inputs = judged
    phases = DistillPhases(teacher, config, run, cadence, tracker, report)
    fitted = _fitted(phases, inputs, run, key, report)
    if fitted is None:
        return None
    pictures = pictures_of_run(files)
    if config.decoder.share > 0 and not phases.finetune_decoder(fitted.task, student, pictures):
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
    once = student.swap.sampled(
        sampler="ddim", spacing=None, steps=asked["steps"], guidance_scale=1.0
    )
    swap = once.with_stage("distill", details)
    return dataclasses.replace(student, swap=swap)


def _tasks(
    inputs: DistillInputs, run: Path, key: dict[str, str], report: Callable[[str], Any]
) -> Iterator[tuple[str, StudentTask]]:
    """List what is fitted one after the other, each from where the one before it has led."""
    config, paths = inputs.config, None
    if config.method == "trajectory" or not inputs.pairs.has_truths:
        with processes().main_first(), config.fit.compute().autocast():
            paths = teacher_trajectories(
                inputs.teacher,
                inputs.pairs,
                config,
                run / "trajectories",
                key["run"],
                report("trajectories"),
            )
    if paths is not None and not inputs.pairs.has_truths:
        answers = answers_of(inputs.teacher, inputs.pairs, config, paths)
        inputs = dataclasses.replace(
            inputs, pairs=dataclasses.replace(inputs.pairs, answers=answers)
        )
    if inputs.refits:
        refit_output(Student(inputs), config.fit.seed)
    if paths is not None and config.method == "trajectory":
        yield "fit", TrajectoryObjective(inputs, paths)
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
    config, sets = inputs.config, (inputs.pairs, inputs.held_out)
    unpaired = GroupPairing(inputs.pairs.known.identities)
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
        *(Examples(some.known, some.pairing or unpaired) for some in sets),
    )
    whole = dataclasses.replace(cadence, patience=0)
    if not fit(objective, wanted, run, compute=compute, cadence=whole, progress=progress):
        return None
    return dataclasses.replace(inputs, judge=judge)
