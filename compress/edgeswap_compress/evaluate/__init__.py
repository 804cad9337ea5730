"""Evaluation of swaps: against the exact truth, and by a recognizer that no model has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.evaluate._held_out import held_out_set
    from edgeswap_compress.evaluate._pairs import HeldOut
    from edgeswap_compress.evaluate._sheet import write_sheet
    from edgeswap_compress.evaluate.config import EvaluateConfig
    from edgeswap_compress.evaluate.judges.dlib import DlibJudge
    from edgeswap_compress.evaluate.judges.landmarks import FaceMesh, Landmarker
    from edgeswap_compress.evaluate.models import Sampling, open_model
    from edgeswap_compress.evaluate.report import EvaluationReport
    from edgeswap_compress.evaluate.stage import Evaluation, evaluate
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress.evaluate._held_out": ("held_out_set",),
            "edgeswap_compress.evaluate.models": (
                "Sampling",
                "open_model",
            ),
            "edgeswap_compress.evaluate._pairs": ("HeldOut",),
            "edgeswap_compress.evaluate._sheet": ("write_sheet",),
            "edgeswap_compress.evaluate.judges.dlib": ("DlibJudge",),
            "edgeswap_compress.evaluate.judges.landmarks": (
                "FaceMesh",
                "Landmarker",
            ),
            "edgeswap_compress.evaluate.report": ("EvaluationReport",),
            "edgeswap_compress.evaluate.config": ("EvaluateConfig",),
            "edgeswap_compress.evaluate.stage": ("Evaluation", "evaluate"),
        },
    )

__all__ = [
    "DlibJudge",
    "EvaluateConfig",
    "Evaluation",
    "EvaluationReport",
    "FaceMesh",
    "HeldOut",
    "Landmarker",
    "Sampling",
    "evaluate",
    "held_out_set",
    "open_model",
    "write_sheet",
]
