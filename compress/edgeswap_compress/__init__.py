"""Torch side of edgeswap: checkpoints, data, training, pruning, distillation, evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.backends.threads import let_waiting_threads_sleep
from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.checkpoint import (
        Checkpoint,
        SwapConfig,
        SwapPipeline,
        default_checkpoint,
    )
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress.checkpoint": (
                "Checkpoint",
                "SwapConfig",
                "SwapPipeline",
                "default_checkpoint",
            ),
        },
    )

__all__ = ["Checkpoint", "SwapConfig", "SwapPipeline", "default_checkpoint"]

let_waiting_threads_sleep()  # before any module of ours loads torch
