"""Distillation: from many guided steps to one or a few without guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.distill.config import DistillConfig
    from edgeswap_compress.distill.stage import distill
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress.distill.config": ("DistillConfig",),
            "edgeswap_compress.distill.stage": ("distill",),
        },
    )

__all__ = ["DistillConfig", "distill"]
