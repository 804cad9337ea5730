"""Torch side of edgeswap: checkpoints, data, training, pruning, distillation, evaluation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgeswap_compress._threads import let_waiting_threads_sleep

if TYPE_CHECKING:
    from edgeswap_compress._checkpoint import Checkpoint
    from edgeswap_compress._defaults import default_checkpoint
    from edgeswap_compress._pipeline import SwapPipeline
    from edgeswap_compress._swap_config import SwapConfig

__all__ = ["Checkpoint", "SwapConfig", "SwapPipeline", "default_checkpoint"]

_HOMES = {
    "Checkpoint": "edgeswap_compress._checkpoint",
    "SwapConfig": "edgeswap_compress._swap_config",
    "SwapPipeline": "edgeswap_compress._pipeline",
    "default_checkpoint": "edgeswap_compress._defaults",
}

let_waiting_threads_sleep()  # before any module of ours loads torch


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
