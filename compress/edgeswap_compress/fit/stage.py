"""Frame of a stage with one fit: claim its run folder, fit, and write the checkpoint it made."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.data import Pictures
from edgeswap_compress.fit.config import FittedConfig
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.loop import Cadence, Objective, fit
from edgeswap_compress.fit.processes import processes, taken_machine
from edgeswap_compress.fit.run_folder import (
    budgeted_steps,
    claim,
    fingerprint,
    last_figures,
    reporter,
    settings_of,
)
from edgeswap_compress.fit.trackers import Tracker
from edgeswap_compress.progress import StageProgress, steady
from edgeswap_runtime.files import canonical_json

Config = TypeVar("Config", bound=FittedConfig)
Fitted = TypeVar("Fitted", bound=Objective)

FIT = "fit"
"""Folder of the fit's state, in the run folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageHabits:
    """How a stage goes on, whatever it makes.

    Attributes:
        cadence: how often to save and evaluate; when to stop early. The stage's usual when None.
        tracker: receives the losses and figures.
        progress: told at least every 5 s how much is done; also from another thread.
    """

    cadence: Cadence | None = None
    tracker: Tracker | None = None
    progress: StageProgress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFit(Generic[Config, Fitted]):
    """What a stage of one fit says of itself.

    Attributes:
        name: of the fit, for the progress: "autoencoder".
        of: what is run, for a message: "distillation".
        inputs: hashes of what it is made from; the settings are added.
        objective: builds what is fitted, given the config with its machine decided and the reporter
            of its phases; called once the run folder is this call's own.
        settings: steps -> fields of `FitConfig` that differ from the usual ones.
        made: gives the checkpoint, of the fitted objective and the history's details: the config,
            the samples seen and the last figures.
        cadence: the stage's usual.
        same: what a continued run must have in common, for a message.
    """

    name: str
    of: str
    inputs: Mapping[str, Any]
    objective: Callable[[Config, Callable[[str], Any]], Fitted]
    settings: Callable[[int], Mapping[str, Any]]
    made: Callable[[Fitted, dict[str, Any]], Checkpoint]
    cadence: Cadence
    same: str = "checkpoint, data and settings"


def inputs_of(checkpoint: Path, pictures: Pictures, judged: Pictures) -> dict[str, Any]:
    """Give the hashes of what most stages are made from: a checkpoint and two datasets."""
    return {
        "checkpoint": fingerprint(checkpoint),
        "dataset": pictures.digest,
        "held_out": judged.digest,
    }


def fit_checkpoint(
    stage: CheckpointFit[Config, Fitted], config: Config, out: Path, run: Path, habits: StageHabits
) -> Path | None:
    """Fit what a stage describes, and write the checkpoint that it makes of it.

    Args:
        stage: what is fitted, and what becomes of it.
        config: settings; its machine may be left to be decided.
        out: new checkpoint folder.
        run: folder with the state, which the same call continues.
        habits: how it goes on.

    Returns:
        ``out``, or None if the cadence stopped it early.

    Raises:
        OutputExists: ``out`` exists.
        TrainingStopped: the run folder belongs to another call.
        InvalidSettings: the device is not there, or the memory is too small.
    """
    config = dataclasses.replace(config, fit=taken_machine(config.fit))
    key = canonical_json({**stage.inputs, "config": settings_of(config)})
    with processes().main_first():
        claim(run, {"run": hashlib.sha256(key).hexdigest()}, of=stage.of, same=stage.same)
        dtypes = note_dtype(run, config.fit.dtype)
    with steady(habits.progress) as told:
        report = reporter(told)
        objective = stage.objective(config, report)
        steps = budgeted_steps(
            objective, config, run / "fit.json", progress=report(f"{stage.name}-timing")
        )
        done = fit(
            objective,
            config.fit.fit_config(steps, **stage.settings(steps)),
            run / FIT,
            compute=config.fit.compute(),
            cadence=habits.cadence or stage.cadence,
            tracker=habits.tracker,
            progress=report(stage.name),
        )
    with processes().main_first():
        if not done or not processes().main:
            return out if done else None
        details = dataclasses.asdict(config)
        details["fit"]["dtype"] = dtypes
        figures = last_figures(run / FIT)
        details |= {"samples": int(figures["samples"]), "figures": figures}
        return stage.made(objective, details).save(out)
