"""Settings of a distillation."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_compress._errors import InvalidSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillConfig:
    """How a student learns from its teacher.

    Attributes:
        steps: sampling steps of the student; it evaluates the U-Net once a step.
        minutes: wall time of the fitting; the number of samples is fixed from a short timing.
        teacher_steps: DDIM steps of the teacher's trajectories; a multiple of ``steps``.
        teacher_guidance: guidance scale of those; None takes the teacher's own default.
        targets: number of trajectories, computed once and cached.
        truth_weight: weight of the regression to the exact truth against the teacher's result.
        identity_weight: weight of the latent-space identity loss.
        mask_weight: as in training.
        batch_size, learning_rate, seed: of the fitting.
    """

    steps: int = 1
    minutes: float = 10.0
    teacher_steps: int = 4
    teacher_guidance: float | None = None
    targets: int = 1024
    truth_weight: float = 0.5
    identity_weight: float = 0.5
    mask_weight: float = 3.0
    batch_size: int = 32
    learning_rate: float = 5e-4
    dtype: str = "bfloat16"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.teacher_steps % self.steps:
            raise InvalidSettings(
                f"{self.teacher_steps} teacher steps cannot teach {self.steps}: expected a "
                "multiple of --steps; give another --teacher-steps"
            )
        if self.minutes <= 0 or self.targets < self.batch_size:
            raise InvalidSettings(
                f"{self.minutes} minutes on {self.targets} targets: expected more than 0 minutes "
                f"and at least {self.batch_size} targets"
            )
        if not 0.0 <= self.truth_weight <= 1.0:
            raise InvalidSettings(f"truth weight {self.truth_weight}: expected 0 to 1")
