"""Checkpoints: the folder format, its swap.json, latents, the reference pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.checkpoint.defaults import default_checkpoint
    from edgeswap_compress.checkpoint.folder import Checkpoint
    from edgeswap_compress.checkpoint.pipeline import SwapPipeline
    from edgeswap_compress.checkpoint.swap_config import SwapConfig
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress.checkpoint.defaults": ("default_checkpoint",),
            "edgeswap_compress.checkpoint.folder": ("Checkpoint",),
            "edgeswap_compress.checkpoint.pipeline": ("SwapPipeline",),
            "edgeswap_compress.checkpoint.swap_config": ("SwapConfig",),
        },
    )

__all__ = ["Checkpoint", "SwapConfig", "SwapPipeline", "default_checkpoint"]
