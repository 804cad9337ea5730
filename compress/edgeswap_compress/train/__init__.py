"""Training of a teacher: autoencoder, identity encoder and conditioned denoiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.train.config import (
        AutoencoderConfig,
        DenoiserConfig,
        ExampleConfig,
        IdentityConfig,
        TeacherConfig,
    )
    from edgeswap_compress.train.stage import train
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress.train.config": (
                "AutoencoderConfig",
                "DenoiserConfig",
                "ExampleConfig",
                "IdentityConfig",
                "TeacherConfig",
            ),
            "edgeswap_compress.train.stage": ("train",),
        },
    )

__all__ = [
    "AutoencoderConfig",
    "DenoiserConfig",
    "ExampleConfig",
    "IdentityConfig",
    "TeacherConfig",
    "train",
]
