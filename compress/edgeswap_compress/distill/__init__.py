"""Distillation: from many guided steps to one or a few without guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.distill.autoencoder.config import (
        AutoencoderLosses,
        AutoencoderSize,
        SmallAutoencoderConfig,
    )
    from edgeswap_compress.distill.autoencoder.stage import shrink_autoencoder
    from edgeswap_compress.distill.config import (
        DecoderPhase,
        DistillConfig,
        DistillLosses,
        Dmd2Config,
        TeacherSampling,
    )
    from edgeswap_compress.distill.stage import distill
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress.distill.autoencoder.config": (
                "AutoencoderLosses",
                "AutoencoderSize",
                "SmallAutoencoderConfig",
            ),
            "edgeswap_compress.distill.autoencoder.stage": ("shrink_autoencoder",),
            "edgeswap_compress.distill.config": (
                "DecoderPhase",
                "DistillConfig",
                "DistillLosses",
                "Dmd2Config",
                "TeacherSampling",
            ),
            "edgeswap_compress.distill.stage": ("distill",),
        },
    )

__all__ = [
    "AutoencoderLosses",
    "AutoencoderSize",
    "DecoderPhase",
    "DistillConfig",
    "DistillLosses",
    "Dmd2Config",
    "SmallAutoencoderConfig",
    "TeacherSampling",
    "distill",
    "shrink_autoencoder",
]
