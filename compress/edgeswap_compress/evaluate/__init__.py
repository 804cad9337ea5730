"""Judging swaps: against the exact truth, and by a recogniser that no model has seen."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeswap_compress.evaluate._dlib import DlibJudge, Judge
    from edgeswap_compress.evaluate._evaluate import EvaluateConfig, evaluate
    from edgeswap_compress.evaluate._models import Sampling, SwapModel
    from edgeswap_compress.evaluate._pairs import HeldOut, PairList, held_out_pairs
    from edgeswap_compress.evaluate._report import Report
    from edgeswap_compress.evaluate._sheet import write_sheet

__all__ = [
    "DlibJudge",
    "EvaluateConfig",
    "HeldOut",
    "Judge",
    "PairList",
    "Report",
    "Sampling",
    "SwapModel",
    "evaluate",
    "held_out_pairs",
    "write_sheet",
]

_HOMES = {
    "DlibJudge": "_dlib",
    "EvaluateConfig": "_evaluate",
    "HeldOut": "_pairs",
    "Judge": "_dlib",
    "PairList": "_pairs",
    "Report": "_report",
    "Sampling": "_models",
    "SwapModel": "_models",
    "evaluate": "_evaluate",
    "held_out_pairs": "_pairs",
    "write_sheet": "_sheet",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
