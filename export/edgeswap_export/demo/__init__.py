"""Run the whole way on packaged models: prune, distill, export, swap, time, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_export.demo._stage import DemoConfig, StudentConfig, demo
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_export.demo._stage": (
                "DemoConfig",
                "StudentConfig",
                "demo",
            ),
        },
    )

__all__ = [
    "DemoConfig",
    "StudentConfig",
    "demo",
]
