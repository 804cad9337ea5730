"""Time calls and torch modules in turns; see `edgeswap_runtime.timing`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from edgeswap_runtime.timing import interleave

MOST_S = 60.0

Name = TypeVar("Name", bound=Hashable)


def interleaved_medians_ms(
    calls: Mapping[Name, Callable[[], object]], *, runs: int
) -> dict[Name, float]:
    """Time calls in turns, for about a minute at most.

    Args:
        calls: name -> what to time; at least one.
        runs: timed calls of each; a slow or busy machine makes fewer, but 5 at least.

    Returns:
        Name -> median in milliseconds.
    """
    times_ms = interleave(calls, runs, most_s=MOST_S)
    return {name: float(np.median(times)) for name, times in times_ms.items()}


def fast_ms(times_ms: Sequence[float]) -> float:
    """Take the 10th percentile: what a call takes when nothing interrupts it."""
    return float(sorted(times_ms)[len(times_ms) // 10])


def interleaved_ms(
    modules: Mapping[str, nn.Module], inputs: Mapping[str, Any], *, runs: int
) -> dict[str, float]:
    """Time forward passes of modules in turns.

    Args:
        modules: at least one, on the CPU, in evaluation mode.
        inputs: keyword arguments that fit every module.
        runs: timed forward passes of each, see `interleaved_medians_ms`.

    Returns:
        Name -> median in milliseconds.
    """
    passes = {name: partial(module, **inputs) for name, module in modules.items()}
    with torch.inference_mode():
        return interleaved_medians_ms(passes, runs=runs)
