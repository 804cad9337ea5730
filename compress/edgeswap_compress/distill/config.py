"""Settings of a distillation."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_compress._checks import (
    BATCH,
    LEARNING_RATE,
    MINUTES,
    OPTIMIZERS,
    SAMPLES,
    SHARE,
    STEPS,
    TARGETS,
    WEIGHT,
    check_choice,
    check_ranges,
    check_samples,
    check_seed,
)
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.dtype import AUTO, check_dtype

METHODS = {"trajectory": 4, "progressive": 8, "lcm": 40, "dmd2": 4}
"""Method -> steps of the teacher unless asked otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillConfig:
    """How a student learns from its teacher.

    Attributes:
        method: one of ``METHODS``; each has a module with its source.
        steps: sampling steps of the student; it evaluates the U-Net once a step.
        minutes: wall time of all phases together; the number of samples is fixed from a short
            timing.
        samples: that number itself, of all phases together: a budget of work, the same on every
            machine. Each phase has one batch at least. ``minutes`` is then of no use.
        teacher_steps: DDIM steps of the teacher. trajectory: of the cached trajectories;
            progressive: where the halving begins; lcm: the solver's grid; dmd2: in figures and
            previews alone. A multiple of ``steps``.
        teacher_guidance: guidance scale of those; None takes the teacher's own default.
        targets: number of trajectories, computed once and cached (trajectory).
        truth_weight: 0 learns from the teacher alone, 1 from the exact truth alone.
        identity_weight, identity_noise: of the latent-space identity loss, as in training.
        judge_samples: to train a fresh encoder for that loss on; 0 takes the teacher's conditioner.
        fine_weight: of the finest scale's energy in the decoded swap, so that a blur does not win.
        fine_samples: of each batch that are decoded for it.
        metric_share: share of the regressions that is measured as pixels would, see
            ``decoder_metric``.
        feature_weight: of matching the teacher's block outputs, for pruned students.
        mask_weight: as in training.
        critic_updates: steps of critic and discriminator for one of the student (dmd2).
        adversarial_weight: of the discriminator's verdict (dmd2); 0 leaves the discriminator out.
        decoder_share: share of the minutes or samples for the last phase: the student's decoder
            learns to show its swaps as sharp as the truths; 0 leaves the decoder as it is, 1
            teaches a finished student nothing else.
        decoder_fine_weight: of the finest scale's energy in that phase.
        decoder_adversarial_weight: of a discriminator's verdict on decoded pictures in that phase;
            0 leaves the discriminator out.
        patience: evaluations without a better figure after which the fitting ends; 0 never.
        batch_size, learning_rate, optimizer, seed: of the fitting.
        dtype: of the computation, one of ``DTYPES``; a continued run may take another.
    """

    method: str = "trajectory"
    steps: int = 1
    minutes: float = 10.0
    samples: int | None = None
    teacher_steps: int = 4
    teacher_guidance: float | None = None
    targets: int = 1024
    truth_weight: float = 0.5
    identity_weight: float = 0.5
    identity_noise: float = 0.3
    judge_samples: int = 0
    fine_weight: float = 0.0
    fine_samples: int = 8
    metric_share: float = 0.5
    feature_weight: float = 0.0
    mask_weight: float = 3.0
    critic_updates: int = 5
    adversarial_weight: float = 0.1
    decoder_share: float = 0.2
    decoder_fine_weight: float = 3.0
    decoder_adversarial_weight: float = 0.05
    patience: int = 0
    batch_size: int = 32
    learning_rate: float = 5e-4
    optimizer: str = "adamw"
    dtype: str = AUTO
    seed: int = 0

    @property
    def method_shares(self) -> list[float]:
        """Shares of the budget of the method's phases; the rest is the decoder's."""
        halvings = (self.teacher_steps // self.steps).bit_length() - 1
        phases = halvings if self.method == "progressive" else 1
        return [(1.0 - self.decoder_share) / phases] * phases

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        if self.method not in METHODS:
            raise InvalidSettings(f"method '{self.method}': expected one of {', '.join(METHODS)}")
        check_ranges(self, teacher_steps=STEPS, targets=TARGETS)
        if not 1 <= self.steps <= STEPS[1] or self.teacher_steps % self.steps:
            raise InvalidSettings(
                f"{self.teacher_steps} teacher steps cannot teach {self.steps}: expected a "
                "multiple of --steps; give another --teacher-steps"
            )
        halvings = self.teacher_steps // self.steps
        if self.method == "progressive" and (halvings < 2 or halvings & (halvings - 1)):
            raise InvalidSettings(
                f"{self.teacher_steps} teacher steps cannot be halved down to {self.steps}: "
                "expected 2, 4, 8, ... times --steps; give another --teacher-steps"
            )
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_seed(self.seed)
        weights = ("identity_weight", "identity_noise", "fine_weight", "feature_weight",
                   "mask_weight", "adversarial_weight", "decoder_fine_weight",
                   "decoder_adversarial_weight")  # fmt: skip
        check_ranges(
            self,
            **dict.fromkeys(("truth_weight", "metric_share", "decoder_share"), SHARE),
            **dict.fromkeys(weights, WEIGHT),
            minutes=MINUTES,
            samples=SAMPLES,
            batch_size=(2, BATCH[1]),  # of which half are truths
            learning_rate=LEARNING_RATE,
            teacher_guidance=(1.0, 100.0),
            judge_samples=(0, SAMPLES[1]),
            patience=(0, 1e6),
            critic_updates=(1, 1000),
            fine_samples=BATCH,
        )
        check_samples(self.samples, self.batch_size)
        if self.method == "trajectory" and self.targets < self.batch_size:
            raise InvalidSettings(
                f"{self.targets} targets: expected at least the batch size, {self.batch_size}"
            )
