"""Train a pruned U-Net for the time or the samples that a round has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.loop import Cadence, fit
from edgeswap_compress.fit.run_folder import steps_in
from edgeswap_compress.prune._config import RecoverConfig
from edgeswap_compress.prune.recover.objective import RecoverData, RecoverObjective


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recovery:
    """Trains the pruned U-Net of each round to imitate the unpruned one.

    Attributes:
        teacher: the unpruned checkpoint; it is converted, so it must be a copy.
        data: latents to train on.
        config: of the training.
        minutes: of training in one round.
        seed: of the draws.
    """

    teacher: Checkpoint
    data: RecoverData
    config: RecoverConfig
    minutes: float
    seed: int

    def train(
        self,
        unet: Any,
        folder: Path,
        *,
        cadence: Cadence | None,
        report: Callable[[str], Any],
    ) -> bool:
        """Train a U-Net in place, from where the folder's run stopped.

        Args:
            unet: pruned; converted and changed.
            folder: of the round, which keeps the state.
            cadence: how often to save, when to stop early.
            report: what is appended to the stage's name -> its progress, None for none.

        Returns:
            Whether it is done; then it is float32 and in evaluation mode.
        """
        objective = RecoverObjective(self.teacher, unet, self.config, self.data)
        settings = self._fit_config(objective, folder / "fit.json", report(" timing"))
        done = fit(objective, settings, folder / "fit", cadence=cadence, progress=report(""))
        if done:
            torch.nn.Module.float(unet).eval()
        return done

    def _fit_config(self, objective: RecoverObjective, file: Path, progress: Any) -> FitConfig:
        """The length is given, or fixed from the speed of a few steps, once per folder."""
        config = self.config
        steps = (config.samples or 0) // config.batch_size
        if config.samples is None:
            steps = steps_in(objective, self.minutes, config.batch_size, self.seed, file, progress)
        return FitConfig(
            samples=steps * config.batch_size,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            optimizer=config.optimizer,
            warmup_steps=min(50, max(1, steps // 10)),
            hold=0.4,
            ema_decay=0.995,
            seed=self.seed,
        )
