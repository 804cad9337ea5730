"""What a distillation method learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.conditioning.source import SourceConditioner
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.fit.material.pairs import PairSet


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillInputs:
    """What a distillation method learns from.

    Attributes:
        student: learns; its modules end with the result.
        teacher: frozen.
        pairs: to learn from.
        held_out: for the figures; may be ``pairs`` again.
        judge: encoder of the identity loss; None where there is none, and the loss has no weight.
        recognizer: ONNX file that judges identity in the figures; None for none.
        refits: whether the student predicts something else than its weights were trained for.
    """

    student: Checkpoint
    teacher: Checkpoint
    pairs: PairSet
    held_out: PairSet
    judge: SourceConditioner | None
    config: DistillConfig
    refits: bool = False
    recognizer: Path | None = None
