"""What `edgeswap prune` is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_compress.prune._errors import PruningError
from edgeswap_compress.prune._importance import IMPORTANCES


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneConfig:
    """What to prune to, and how to choose.

    Args:
        macs_ratio: in (0, 1), the U-Net's multiply-accumulates after / before; met within 5 %.
        importance: how channels are ranked, a key of `IMPORTANCES`.
        round_to: widths become multiples of it, at least 1; hardware likes 8, 16 or 32.
        seed: for importances that draw numbers.
    """

    macs_ratio: float
    importance: str = "magnitude"
    round_to: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.macs_ratio < 1:
            raise PruningError(f"macs_ratio must lie between 0 and 1, found {self.macs_ratio:g}")
        if self.importance not in IMPORTANCES:
            raise PruningError(
                f"there is no importance {self.importance!r}: "
                f"expected one of {', '.join(IMPORTANCES)}"
            )
        if self.round_to < 1:
            raise PruningError(f"round_to must be at least 1, found {self.round_to}")
        if self.seed < 0:
            raise PruningError(f"seed must be at least 0, found {self.seed}")
