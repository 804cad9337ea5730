"""How long a bundle takes, stage by stage, on the machine at hand: `edgeswap bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_bench._statistics import Timing
    from edgeswap_bench.measure import BenchConfig, Report, SizeResult, measure
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_bench._statistics": ("Timing",),
            "edgeswap_bench.measure": (
                "BenchConfig",
                "Report",
                "SizeResult",
                "measure",
            ),
        },
    )

__all__ = ["BenchConfig", "Report", "SizeResult", "Timing", "measure"]
