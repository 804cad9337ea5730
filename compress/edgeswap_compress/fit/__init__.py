"""The training engine: loop, optimizer, run folder, latent cache, losses and dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.fit.config import (
        FitBudget,
        FitConfig,
        FitOptions,
        IdentityLossConfig,
        changed,
    )
    from edgeswap_compress.fit.dtype import resolve_dtype
    from edgeswap_compress.fit.loop import Cadence, Draw, Objective, fit
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress.fit.config": (
                "FitBudget",
                "FitConfig",
                "FitOptions",
                "IdentityLossConfig",
                "changed",
            ),
            "edgeswap_compress.fit.dtype": ("resolve_dtype",),
            "edgeswap_compress.fit.loop": ("Cadence", "Draw", "Objective", "fit"),
        },
    )

__all__ = [
    "Cadence",
    "Draw",
    "FitBudget",
    "FitConfig",
    "FitOptions",
    "IdentityLossConfig",
    "Objective",
    "changed",
    "fit",
    "resolve_dtype",
]
