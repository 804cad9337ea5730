"""Time bundles, and say how far the figures can be trusted: `edgeswap bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_bench._statistics import Timing
    from edgeswap_bench.compare.reports import compare_reports
    from edgeswap_bench.measure.bundle_subject import BundleSubject
    from edgeswap_bench.measure.config import BenchConfig, SwapOptions
    from edgeswap_bench.measure.load import read_report
    from edgeswap_bench.measure.results import Report
    from edgeswap_bench.measure.run import bench
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_bench._statistics": ("Timing",),
            "edgeswap_bench.compare.reports": ("compare_reports",),
            "edgeswap_bench.measure.bundle_subject": ("BundleSubject",),
            "edgeswap_bench.measure.config": (
                "BenchConfig",
                "SwapOptions",
            ),
            "edgeswap_bench.measure.load": ("read_report",),
            "edgeswap_bench.measure.results": ("Report",),
            "edgeswap_bench.measure.run": ("bench",),
        },
    )

__all__ = [
    "BenchConfig",
    "BundleSubject",
    "Report",
    "SwapOptions",
    "Timing",
    "bench",
    "compare_reports",
    "read_report",
]
