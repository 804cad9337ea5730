"""Settings of a fit: how long it lasts, which optimizer it takes, and the losses stages share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edgeswap_compress._checks import (
    BATCH,
    LEARNING_RATE,
    MINUTES,
    OPTIMIZERS,
    SAMPLES,
    WEIGHT,
    check_choice,
    check_ranges,
    check_samples,
    check_seed,
)
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.machine.options import FitMachine

OUTSIDE_WEIGHT = 0.25
"""Weight of a loss outside the inner face."""

MASK_WEIGHT = 3.0
"""Weight that is added inside the inner face, unless asked otherwise."""

IDENTITY_NOISE = 0.3
"""Largest deviation of the noise on what the identity loss looks at, unless asked otherwise."""

TERMINAL_SHARE = 0.35
"""Share of the samples trained at pure noise (t = T), unless asked otherwise."""

CONDITION_DROPOUT = 0.1
"""Share of the samples without a source, for guidance (2207.12598), unless asked otherwise."""

Config = TypeVar("Config")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """How long and how fast one module is fitted: what the training loop takes.

    Attributes:
        samples: training samples seen in all; with ``batch_size`` it fixes the number of steps.
        batch_size: samples a step.
        learning_rate: peak; warmed up linearly, held, then a cosine to zero.
        warmup_steps: length of the warm-up.
        hold: share of the steps before the cosine begins.
        optimizer: "adamw", or "muon" for the matrices among the weights.
        betas: of AdamW (1711.05101).
        weight_decay: of AdamW.
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
        """Count the optimizer steps."""
        return self.samples // self.batch_size


@dataclass(frozen=True, slots=True, kw_only=True)
class FitBudget:
    """How long a stage fits: wall time, or an amount of work.

    Attributes:
        minutes: wall time; the number of samples is fixed from a short timing.
        samples: that number itself, the same on every machine; ``minutes`` is then not used.
        patience: evaluations without a better figure after which the fitting ends; 0 never.
    """

    minutes: float = 10.0
    samples: int | None = None
    patience: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, minutes=MINUTES, samples=SAMPLES, patience=(0, 1e6))


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions(FitMachine):
    """What the user chooses of an optimization; its length is a `FitBudget`.

    Attributes:
        batch_size: samples a step.
        learning_rate: peak.
        optimizer: "adamw", or "muon" for the matrices among the weights.
        seed: of every draw.
    """

    batch_size: int = 32
    learning_rate: float = 5e-4
    optimizer: str = "adamw"
    seed: int = 0

    def __post_init__(self) -> None:
        FitMachine.__post_init__(self)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_seed(self.seed)
        check_ranges(self, batch_size=BATCH, learning_rate=LEARNING_RATE)

    def fit_config(self, steps: int, **settings: Any) -> FitConfig:
        """Complete the options to what the training loop takes.

        Args:
            steps: length of the fit.
            settings: other fields of `FitConfig` than a stage usually takes.
        """
        usual = {"warmup_steps": min(50, max(1, steps // 10)), "hold": 0.4, "ema_decay": 0.995}
        return FitConfig(
            samples=steps * self.batch_size,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
            **{"optimizer": self.optimizer, **usual, **settings},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityLossConfig:
    """The latent-space identity loss, see `LatentIdentityLoss`.

    Attributes:
        weight: of the loss; 0 leaves it out.
        noise: largest deviation of the noise on what it looks at.
    """

    weight: float = 0.5
    noise: float = IDENTITY_NOISE

    def __post_init__(self) -> None:
        check_ranges(self, weight=WEIGHT, noise=WEIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedConfig:
    """Base of the settings of a stage that fits: how long, and with which optimizer.

    Attributes:
        budget: how long.
        fit: with which optimizer, batch size, dtype and seed.
    """

    budget: FitBudget = field(default_factory=FitBudget)
    fit: FitOptions = field(default_factory=FitOptions)

    def __post_init__(self) -> None:
        check_samples(self.budget.samples, self.fit.batch_size)


def changed(config: Config, changes: Mapping[str, Any]) -> Config:
    """Copy a composed config with some fields changed, and check the result.

    Args:
        config: a frozen dataclass, whose fields may be dataclasses themselves.
        changes: dotted name of a field -> its value, as in ``{"budget.samples": 3200}``.
    """
    own: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        if rest:
            parts.setdefault(name, {})[rest] = value
        else:
            own[name] = value
    for name, some in parts.items():
        own[name] = changed(own.get(name, getattr(config, name)), some)
    return dataclasses.replace(config, **own)  # type: ignore[type-var]
