"""Preview of a distillation: the student's swaps beside the truth and the teacher's."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import decode_latents, sample_to_latents
from edgeswap_compress.distill._task import StudentTask
from edgeswap_compress.fit.loop import Draw
from edgeswap_runtime.faces.align import to_uint8
from edgeswap_runtime.pictures.sheet import SheetStyle, draw_sheet
from edgeswap_runtime.pictures.write import SWAPPED, save_marked

ROWS = 8

COLUMNS = ("source", "target", "truth", "teacher", "student")


class WithPreview:
    """Objective that also draws a preview when it is evaluated.

    Args:
        task: what is fitted.
        teacher: decodes the pictures, all but the student's own.
        file: .png, replaced each time: source, target, truth, teacher's swap and the student's.
    """

    def __init__(self, task: StudentTask, teacher: Checkpoint, file: Path) -> None:
        self._task, self._teacher, self._file = task, teacher, file
        self.module = task.module

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the task's loss."""
        return self._task.loss(draw, batch_size, done)

    def evaluate(self) -> dict[str, float]:
        """Measure the task's figures, and draw the preview."""
        figures = self._task.evaluate()
        self._write(self._task.swap_fixed())
        return figures

    @torch.no_grad()
    def _write(self, found: Tensor) -> None:
        batch, _, wanted = self._task.fixed()
        swap, target = self._teacher.swap, batch.target[:ROWS]
        truth, taught, own = (
            sample_to_latents(swap, x[:ROWS], target) for x in (batch.truth, wanted[0], found[0])
        )
        known = (batch.teacher_source[:ROWS], batch.teacher_target[:ROWS], truth, taught)
        dtype = next(self._teacher.vae.parameters()).dtype
        with self._task.rests.autoencoder():
            decoded = [decode_latents(self._teacher.vae, swap, x.to(dtype)) for x in known]
        decoded.append(self._task.decode(own))
        columns = [
            to_uint8((x.float().permute(0, 2, 3, 1).cpu().numpy() + 1) * 127.5) for x in decoded
        ]
        sheet = draw_sheet(
            list(zip(*columns, strict=True)), titles=COLUMNS, style=SheetStyle(tile_px=None)
        )
        save_marked(self._file, sheet, SWAPPED, overwrite=True)
