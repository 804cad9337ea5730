"""How long a bundle takes, stage by stage, on the machine at hand: `edgeswap bench`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeswap_bench._measure import BenchConfig, Report, SizeResult, measure
    from edgeswap_bench._statistics import Timing

_HOMES = {
    "BenchConfig": "_measure",
    "Report": "_measure",
    "SizeResult": "_measure",
    "Timing": "_statistics",
    "measure": "_measure",
}

__all__ = ["BenchConfig", "Report", "SizeResult", "Timing", "measure"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
