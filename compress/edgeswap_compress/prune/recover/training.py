"""Train a pruned U-Net for the time or the samples that a round has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.fit.loop import Cadence, fit
from edgeswap_compress.fit.run_folder import budgeted_steps
from edgeswap_compress.prune.config import RecoverConfig
from edgeswap_compress.prune.recover.objective import RecoverData, RecoverObjective


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recovery:
    """Trains the pruned U-Net of each round to imitate the unpruned one.

    Attributes:
        teacher: the unpruned checkpoint; it is converted, so it must be a copy.
        data: latents to train on.
        config: of the training; its budget is that of one round.
    """

    teacher: Checkpoint
    data: RecoverData
    config: RecoverConfig

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
        steps = budgeted_steps(
            objective, self.config, folder / "fit.json", progress=report(" timing")
        )
        settings = self.config.fit.fit_config(steps)
        done = fit(
            objective,
            settings,
            folder / "fit",
            compute=self.config.fit.compute(),
            cadence=cadence,
            progress=report(""),
        )
        if done:
            torch.nn.Module.float(unet).eval()
        return done
