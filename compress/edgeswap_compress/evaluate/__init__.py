"""Judging swaps: against the exact truth, and by a recogniser that no model has seen."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeswap_compress.evaluate._dlib import DlibJudge, Judge
    from edgeswap_compress.evaluate._evaluate import EvaluateConfig, Evaluation
    from edgeswap_compress.evaluate._heldout import held_out_set
    from edgeswap_compress.evaluate._landmarks import FaceMesh, Landmarker
    from edgeswap_compress.evaluate._models import Sampling, open_model
    from edgeswap_compress.evaluate._pairs import HeldOut
    from edgeswap_compress.evaluate._report import Report
    from edgeswap_compress.evaluate._sheet import write_sheet

__all__ = [
    "DlibJudge",
    "EvaluateConfig",
    "Evaluation",
    "FaceMesh",
    "HeldOut",
    "Judge",
    "Landmarker",
    "Report",
    "Sampling",
    "held_out_set",
    "open_model",
    "write_sheet",
]

_HOMES = {
    "DlibJudge": "_dlib",
    "EvaluateConfig": "_evaluate",
    "Evaluation": "_evaluate",
    "FaceMesh": "_landmarks",
    "HeldOut": "_pairs",
    "Judge": "_dlib",
    "Landmarker": "_landmarks",
    "Report": "_report",
    "Sampling": "_models",
    "held_out_set": "_heldout",
    "open_model": "_models",
    "write_sheet": "_sheet",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
