"""Options of a recipe are checked by the command that they are for, before any stage runs."""

from __future__ import annotations

import pytest

from edgeswap_export.recipe._checks import check_options
from edgeswap_export.recipe._stages import STAGES, parser_of
from edgeswap_runtime.errors import EdgeswapError

WRONG = {
    "prune": ["--macs-ratio", "2"],
    "distill": ["--steps", "0"],
    "autoencoder": ["--minutes", "-1"],
    "export": ["--precision", "fp32", "--calibration-swaps", "0"],
    "engine": ["--backend", "tensorrt_rtx", "--gpu", "sm1"],
    "evaluate": ["--seeds", "0"],
    "bench": ["--runs", "0"],
}


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_refuses_its_own_options(stage: str) -> None:
    parser = parser_of(stage)
    places = STAGES[stage].positions("first", "given", "out")
    arguments = parser.parse_args([*places, *WRONG[stage]])
    with pytest.raises((EdgeswapError, SystemExit)):
        check_options(stage, parser, arguments)


def test_a_teacher_option_without_a_teacher_is_refused() -> None:
    parser = parser_of("evaluate")
    with pytest.raises(EdgeswapError, match="--teacher-steps is of no use without --teacher"):
        check_options("evaluate", parser, parser.parse_args(["student", "--teacher-steps", "4"]))
