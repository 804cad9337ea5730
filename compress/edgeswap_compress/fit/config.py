"""Settings of one fit: how long, how fast, and with which optimizer."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_compress._checks import (
    BATCH,
    LEARNING_RATE,
    OPTIMIZERS,
    SAMPLES,
    check_choice,
    check_ranges,
)
from edgeswap_compress.errors import InvalidSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """How long and how fast one module is fitted.

    Attributes:
        samples: training samples seen in all; with ``batch_size`` it fixes the number of steps.
        batch_size: samples a step.
        learning_rate: peak; warmed up linearly, held, then a cosine to zero.
        warmup_steps: length of the warm-up.
        hold: share of the steps before the cosine begins.
        optimizer: "adamw", or "muon" for the matrices among the weights.
        betas, weight_decay: AdamW (1711.05101).
        ema_decay: of the exponential moving average of the weights.
        clip_norm: largest gradient norm.
        seed: every step draws from (seed, step), so a resumed run repeats the same draws.
    """

    samples: int
    batch_size: int = 32
    learning_rate: float = 8e-4
    warmup_steps: int = 100
    hold: float = 0.2
    optimizer: str = "adamw"
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    clip_norm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, batch_size=BATCH, learning_rate=LEARNING_RATE)
        if not self.batch_size <= self.samples <= SAMPLES[1]:
            raise InvalidSettings(
                f"samples {self.samples} make no step of {self.batch_size}: ask for more samples"
            )
        check_choice("optimizer", self.optimizer, OPTIMIZERS)

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return self.samples // self.batch_size
