"""Settings of pruning and of the training after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, get_args

from edgeswap_compress._checks import WEIGHT, check_ranges, check_seed
from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.composed import beside, from_settings, settings_in
from edgeswap_compress.fit.config import FittedConfig, IdentityLossConfig

Importance = Literal["magnitude", "random", "taylor", "diff-pruning"]
IMPORTANCE_NAMES: Final[tuple[str, ...]] = get_args(Importance)
"""The keys of `IMPORTANCES`, known before torch is loaded."""
NEED_SAMPLES: Final = frozenset({"taylor", "diff-pruning"})
"""Importances that cannot do without samples."""
TargetName = Literal["macs", "params", "latency"]
Mode = Literal["width", "depth", "both"]
Allocation = Literal["share", "uniform", "global", "best"]

BEST: Final[dict[str, str]] = {"importance": "taylor", "mode": "both", "allocation": "best"}
"""Default pruning settings of `edgeswap prune` where plans can be compared on samples.

benchmarks/studies/pruning.py finds them best on the default teacher.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneTarget:
    """What to prune to: exactly one of the ratios is given.

    Attributes:
        macs_ratio: in (0, 1), the U-Net's multiply-accumulates after / before; met within 5 %.
        params_ratio: likewise of parameters.
        latency_ratio: likewise of latency on ONNX Runtime's CPU, as measured.

    Raises:
        PruningError: on construction, when none or several are given, or one is out of its range.
    """

    macs_ratio: float | None = None
    params_ratio: float | None = None
    latency_ratio: float | None = None

    def __post_init__(self) -> None:
        ratios = [one.name for one in fields(self)]
        given = [name for name in ratios if getattr(self, name) is not None]
        if len(given) != 1:
            raise PruningError(
                f"expected one of {', '.join(ratios)}, found {' and '.join(given) or 'none'}"
            )
        if not 0 < self.ratio < 1:
            raise PruningError(f"{given[0]} must lie between 0 and 1, found {self.ratio:g}")

    @property
    def name(self) -> TargetName:
        """What the ratio is of."""
        if self.macs_ratio is not None:
            return "macs"
        return "params" if self.params_ratio is not None else "latency"

    @property
    def ratio(self) -> float:
        """After / before."""
        found = (self.macs_ratio, self.params_ratio, self.latency_ratio)
        return next(ratio for ratio in found if ratio is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneChoice:
    """How to choose what goes.

    The defaults are the choice that needs no samples; `BEST` is the one that was measured to be
    best. Where there are several plans to choose from, the one that changes the outputs least wins.

    Attributes:
        importance: how channels are ranked, a key of `IMPORTANCES`.
        mode: "width" cuts channels, heads and units. "depth" drops modules until no more fit, and
            cuts widths for the rest of the way. "both" tries every depth in between.
        allocation: how losses of different layers compare. "share": each loses the same share of
            its importance; "uniform": of its width; "global": the least importance for what is
            saved, wherever it is; "best": tries all three.
        resample: resample the inner channels of resnets and feed-forwards to their new width, as
            functions of the channel (see `resample`), where otherwise the best ones are kept.
        round_to: widths become multiples of it, at least 1; hardware likes 8, 16 or 32.
        protect: patterns of modules that stay as they are, see `protected_layers`.

    Raises:
        PruningError: on construction, for a word that is not known or a number out of its range.
    """

    importance: str = "magnitude"
    mode: Mode = "width"
    allocation: Allocation = "share"
    resample: bool = False
    round_to: int = 8
    protect: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.importance not in IMPORTANCE_NAMES:
            raise PruningError(
                f"there is no importance {self.importance!r}: "
                f"expected one of {', '.join(IMPORTANCE_NAMES)}"
            )
        for name, kind in (("mode", Mode), ("allocation", Allocation)):
            if getattr(self, name) not in get_args(kind):
                raise PruningError(
                    f"{name} {getattr(self, name)!r}: expected one of {', '.join(get_args(kind))}"
                )
        _check_count("round_to", self.round_to, 1, 1 << 14)

    @property
    def compares(self) -> bool:
        """Whether several plans are tried, so that samples are needed to choose by."""
        return self.mode != "width" or self.allocation == "best"


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneConfig:
    """Settings of the pruning stage.

    Attributes:
        target: what to prune to.
        choice: how to choose what goes.
        samples: that plans are compared on, and importances that measure a loss. None for 64 of a
            dataset, or 8 of noise for a bare U-Net; 0 for none at all.
        rounds: prune in so many steps, each of the same factor, with recovery between them where
            `RecoverConfig` says so.
        seed: of everything that draws numbers while a plan is made.

    Raises:
        PruningError: on construction, when the settings do not fit together.
    """

    target: PruneTarget = field(default_factory=PruneTarget, metadata=beside())
    choice: PruneChoice = field(default_factory=PruneChoice, metadata=beside())
    samples: int | None = None
    rounds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        _check_count("samples", self.samples, 0, 1 << 20)
        _check_count("rounds", self.rounds, 1, 100)
        check_seed(self.seed)
        if self.choice.resample and self.rounds > 1:
            raise PruningError(
                f"resampling needs all of the original weights, so it cannot go in {self.rounds} "
                "rounds: expected --rounds 1 with --resample"
            )

    @classmethod
    def best(cls, **settings: Any) -> PruneConfig:
        """Make a config whose defaults are `BEST`; its plans are compared on samples.

        Args:
            settings: as in `from_json`, such as ``macs_ratio=0.5``.
        """
        return cls.from_json({**BEST, **settings})

    def to_json(self) -> dict[str, Any]:
        """Give the settings that are not None side by side, as the command line names them."""
        return {name: value for name, value in settings_in(self).items() if value is not None}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> PruneConfig:
        """Make a config of what `to_json` returns; all but the target may be left out.

        Raises:
            InvalidSettings: a setting that there is not, or one of another type.
            PruningError: a value out of its range.
        """
        return from_settings(cls, raw, of="prune")


def _check_count(name: str, found: int | None, least: int, most: int) -> None:
    if found is not None and found < least:
        raise PruningError(f"{name} must be at least {least}, found {found}")
    if found is not None and found > most:
        raise PruningError(f"{name} must be at most {most}, found {found}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverLosses:
    """Weights of the loss terms of the recovery; 0 leaves a term out.

    Attributes:
        truth_weight: of the diffusion loss against the truth.
        output_weight: of the distance to the unpruned U-Net's prediction.
        feature_weight: of the distance to the unpruned U-Net's block outputs.
        identity: the latent-space identity loss, of checkpoints with a source encoder; others
            have nothing to look through, and learn without it.
    """

    truth_weight: float = 1.0
    output_weight: float = 1.0
    feature_weight: float = 1.0
    identity: IdentityLossConfig = field(default_factory=IdentityLossConfig)

    def __post_init__(self) -> None:
        check_ranges(self, truth_weight=WEIGHT, output_weight=WEIGHT, feature_weight=WEIGHT)
        if self.truth_weight + self.output_weight <= 0:
            raise PruningError("recovery needs a truth_weight or an output_weight above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverConfig(FittedConfig):
    """Training after pruning: imitate the unpruned U-Net, and learn from truths that are known.

    The sum of three losses as in BK-SDM (2305.15798, section 3.3), and the identity loss that the
    teacher was trained with.

    Attributes:
        budget: of the fitting: minutes of all rounds together, fixed as a number of steps when a
            round begins, or samples of each round.
        fit: optimizer, batch size, dtype and seed.
        losses: weights of the loss terms.
    """

    losses: RecoverLosses = field(default_factory=RecoverLosses)

    def __post_init__(self) -> None:
        FittedConfig.__post_init__(self)
        if self.budget.patience:
            raise PruningError("recovery has no patience: expected 0, leave it out of the budget")

    def to_json(self) -> dict[str, Any]:
        """Give the fields, for a history."""
        return asdict(self)
