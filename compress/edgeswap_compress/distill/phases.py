"""Distillation phases: fit the tasks of a method, then finetune the decoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.data import Pictures
from edgeswap_compress.distill._finetune_decoder import DecoderObjective
from edgeswap_compress.distill._preview import WithPreview
from edgeswap_compress.distill._task import LEARNS, Student, StudentTask
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.loop import Cadence, fit
from edgeswap_compress.fit.processes import processes
from edgeswap_compress.fit.run_folder import budgeted_steps, trained_module
from edgeswap_compress.fit.trackers import Tracker


@dataclass(frozen=True, slots=True)
class Fitted:
    """The fitted student; the last task's folder, None where nothing was; samples of all tasks."""

    task: Student
    folder: Path | None
    samples: int


class DistillPhases:
    """Fits the tasks of a method in turn, and finetunes the decoder at the end.

    Args:
        run: folder of all phases' states.
        report: name of a phase -> its progress.
    """

    def __init__(
        self,
        teacher: Checkpoint,
        config: DistillConfig,
        run: Path,
        cadence: Cadence,
        tracker: Tracker | None,
        report: Callable[[str], Any],
    ) -> None:
        self._teacher, self._config, self._run = teacher, config, run
        self._cadence, self._tracker, self._report = cadence, tracker, report

    def fit(self, tasks: Iterable[tuple[str, StudentTask]]) -> Fitted | None:
        """Fit all tasks in turn; return None if the cadence stopped one."""
        samples, last = 0, None
        for name, task in tasks:
            task.module.train()
            self._prepare(task)
            objective = WithPreview(task, self._teacher, self._run / "preview.png")
            settings = self._settings(task, name)
            if not self._fit(objective, settings, name, self._cadence):
                return None
            samples += settings.samples
            last = Fitted(task, self._run / name, samples)
        return last

    def finetune_decoder(
        self, task: Student, student: Checkpoint, pictures: tuple[Pictures, Pictures]
    ) -> bool:
        """Finetune the decoder on the fitted student's swaps; False if the cadence stopped it.

        Args:
            task: the fitted student.
            student: its checkpoint, whose decoder learns.
            pictures: of the training data and of the held-out data.
        """
        config = self._config
        task.module.eval()
        self._prepare(task)
        task.rests.end()
        objective = DecoderObjective(
            task, student.vae, *pictures, fine_weight=config.decoder.fine_weight,
            adversarial_weight=config.decoder.adversarial_weight, seed=config.fit.seed,
        )  # fmt: skip
        steps = self._steps(objective, "decoder", config.decoder.share)
        settings = config.fit.fit_config(
            steps, optimizer="adamw", hold=0.2, weight_decay=1e-4, ema_decay=0.99
        )
        whole = dataclasses.replace(self._cadence, patience=0)
        return self._fit(objective, settings, "decoder", whole)

    def _fit(self, objective: Any, settings: FitConfig, name: str, cadence: Cadence) -> bool:
        return fit(
            objective,
            settings,
            self._run / name,
            compute=self._config.fit.compute(),
            cadence=cadence,
            tracker=self._tracker,
            progress=self._report(name),
        )

    def _settings(self, task: StudentTask, name: str) -> FitConfig:
        steps = self._steps(task, name, self._config.method_shares[0])
        return self._config.fit.fit_config(steps)

    def _steps(self, objective: Any, name: str, share: float) -> int:
        """Give the steps of a phase, for its share of the budget."""
        return budgeted_steps(
            objective,
            self._config,
            self._run / f"{name}.json",
            share=share,
            progress=self._report(f"{name}-timing"),
        )

    def _prepare(self, task: Student) -> None:
        """Sample the teacher for the figures, where they are made, before a phase begins."""
        if processes().main:
            task.fixed(self._report("figures"))


def trained(student: Checkpoint, run: Path) -> Checkpoint:
    """Give a float32 student the weights of a fit; what did not learn is as it was."""
    for name in LEARNS:
        if (module := getattr(student, name)) is not None:
            trained_module(module, run, f"{name}.")
    return student
