"""Settings of a distillation."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeswap_compress._checks import (
    BATCH,
    SAMPLES,
    SHARE,
    STEPS,
    TARGETS,
    WEIGHT,
    check_range,
    check_ranges,
)
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.config import (
    MASK_WEIGHT,
    FitBudget,
    FitOptions,
    FittedConfig,
    IdentityLossConfig,
)

METHODS = {"trajectory": 4, "progressive": 8, "lcm": 40, "dmd2": 4}
"""Method -> steps of the teacher unless asked otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherSampling:
    """How the teacher samples what the student learns.

    Attributes:
        steps: DDIM steps. trajectory: of the cached trajectories; progressive: where the halving
            begins; lcm: the solver's grid; dmd2: in figures and previews alone. A multiple of the
            student's steps; None takes the method's own, see ``METHODS``.
        guidance: guidance scale; None takes the teacher's own default.
        targets: number of trajectories, computed once and cached (trajectory).
    """

    steps: int | None = None
    guidance: float | None = None
    targets: int = 1024

    def __post_init__(self) -> None:
        check_range("teacher_steps", self.steps, *STEPS)
        check_range("teacher_guidance", self.guidance, 1.0, 100.0)
        check_ranges(self, targets=TARGETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillLosses:
    """Loss terms that all methods share.

    Attributes:
        truth_weight: 0 learns from the teacher alone, 1 from the exact truth alone.
        identity: the latent-space identity loss.
        judge_samples: samples to train a fresh encoder for that loss on; 0 takes the teacher's
            conditioner.
        fine_weight: weight of the finest scale's energy in the decoded swap, which a blur lacks.
        fine_samples: pictures of each batch that are decoded for that term.
        metric_share: share of the regressions that is measured as pixels would, see
            ``decoder_metric``.
        feature_weight: weight of matching the teacher's block outputs, for pruned students.
        mask_weight: added to the weight of the losses inside the inner face.
    """

    truth_weight: float = 0.5
    identity: IdentityLossConfig = field(default_factory=IdentityLossConfig)
    judge_samples: int = 0
    fine_weight: float = 0.0
    fine_samples: int = 8
    metric_share: float = 0.5
    feature_weight: float = 0.0
    mask_weight: float = MASK_WEIGHT

    def __post_init__(self) -> None:
        check_ranges(
            self,
            **dict.fromkeys(("truth_weight", "metric_share"), SHARE),
            **dict.fromkeys(("fine_weight", "feature_weight", "mask_weight"), WEIGHT),
            judge_samples=(0, SAMPLES[1]),
            fine_samples=BATCH,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dmd2Config:
    """What the method dmd2 needs besides.

    Attributes:
        critic_updates: steps of critic and discriminator for each step of the student.
        adversarial_weight: weight of the discriminator's verdict; 0 leaves the discriminator out.
    """

    critic_updates: int = 5
    adversarial_weight: float = 0.1

    def __post_init__(self) -> None:
        check_ranges(self, critic_updates=(1, 1000), adversarial_weight=WEIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoPairs:
    """Which pairs are made of photographs, which have no truths.

    Attributes:
        self_share: share of the pairs of one person, whose truth is the target itself; the
            teacher answers the others.
    """

    self_share: float = 0.25

    def __post_init__(self) -> None:
        check_range("self_share", self.self_share, *SHARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderPhase:
    """The last phase of a distillation, which finetunes the student's decoder.

    Attributes:
        share: share of the budget; 0 leaves the decoder as it is, 1 trains nothing else.
        fine_weight: weight of the finest scale's energy.
        adversarial_weight: weight of a discriminator's verdict on decoded pictures; 0 leaves the
            discriminator out.
    """

    share: float = 0.2
    fine_weight: float = 3.0
    adversarial_weight: float = 0.05

    def __post_init__(self) -> None:
        check_range("decoder_share", self.share, *SHARE)
        check_range("decoder_fine_weight", self.fine_weight, *WEIGHT)
        check_range("decoder_adversarial_weight", self.adversarial_weight, *WEIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillConfig(FittedConfig):
    """How a student learns from its teacher.

    Attributes:
        method: one of ``METHODS``; each has a module with its source.
        steps: sampling steps of the student; it evaluates the U-Net once a step.
        teacher: how the teacher samples.
        losses: terms that all methods share.
        dmd2: what that method needs besides.
        pairs: of photographs.
        decoder: the last phase.
        budget: how long all phases last together; each phase has one batch at least.
        fit: optimizer, batch size, dtype and seed of every phase.
    """

    method: str = "trajectory"
    steps: int = 1
    teacher: TeacherSampling = field(default_factory=TeacherSampling)
    losses: DistillLosses = field(default_factory=DistillLosses)
    dmd2: Dmd2Config = field(default_factory=Dmd2Config)
    pairs: PhotoPairs = field(default_factory=PhotoPairs)
    decoder: DecoderPhase = field(default_factory=DecoderPhase)
    budget: FitBudget = field(default_factory=FitBudget)
    fit: FitOptions = field(default_factory=FitOptions)

    @property
    def teacher_steps(self) -> int:
        """Count the teacher's DDIM steps: as asked for, or the method's own."""
        return self.teacher.steps or max(METHODS[self.method], self.steps)

    @property
    def method_shares(self) -> list[float]:
        """Give the shares of the budget of the method's phases; the rest is the decoder's."""
        halvings = (self.teacher_steps // self.steps).bit_length() - 1
        phases = halvings if self.method == "progressive" else 1
        return [(1.0 - self.decoder.share) / phases] * phases

    def __post_init__(self) -> None:
        FittedConfig.__post_init__(self)
        if self.method not in METHODS:
            raise InvalidSettings(f"method '{self.method}': expected one of {', '.join(METHODS)}")
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
        check_range("batch_size", self.fit.batch_size, 2, BATCH[1])  # half of which are truths
        if self.method == "trajectory" and self.teacher.targets < self.fit.batch_size:
            raise InvalidSettings(
                f"{self.teacher.targets} targets: expected at least the batch size, "
                f"{self.fit.batch_size}"
            )
