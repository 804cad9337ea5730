"""Define the errors of the export.

EdgeswapError                    the caller's mistake or bad input; exit code 2
└── ExportError (ValueError)
    ├── UnknownSampler           no sampler of that name
    ├── UnsupportedPrediction    the scheduler config states an unknown prediction type
    ├── UnsupportedSchedule      these steps or options cannot be written as a table
    │   └── NoSignal             epsilon prediction where the sample is pure noise
    ├── UnsupportedExport        settings and checkpoint do not fit together
    └── UnusableDetector         the detector's file is not the one expected
EdgeswapFailure                  a failure of edgeswap's own; exit code 1
├── ParityFailed                 ONNX Runtime and torch differ by more than the tolerance
└── GraphNotExported             a graph could not be written or is not valid ONNX
"""

from __future__ import annotations

from edgeswap_runtime.errors import EdgeswapError, EdgeswapFailure


class ExportError(EdgeswapError, ValueError):
    """Base class of errors that the caller of the export can correct."""


class UnknownSampler(ExportError):
    """No sampler of that name is registered."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown sampler {name!r}; expected one of {', '.join(known)}")


class UnsupportedPrediction(ExportError):
    """The scheduler config states an unknown prediction type."""

    def __init__(self, prediction_type: object) -> None:
        super().__init__(
            f"prediction_type {prediction_type!r} is not supported; expected epsilon, sample or"
            " v_prediction in scheduler/scheduler_config.json"
        )


class UnsupportedSchedule(ExportError):
    """The schedule that was asked for cannot be written as a table of numbers."""


class NoSignal(UnsupportedSchedule):
    """A model that predicts noise would have to start from pure noise."""

    def __init__(self, timestep: int) -> None:
        super().__init__(
            f"epsilon prediction at timestep {timestep} is impossible: its signal-to-noise ratio is"
            " zero, so the noise says nothing about the sample; use a v_prediction or sample model,"
            " or rescale_betas_zero_snr=false"
        )


class UnsupportedExport(ExportError):
    """The settings do not fit together, or do not fit this checkpoint."""


class UnusableDetector(ExportError):
    """The face detector's file is not the one expected."""


class ParityFailed(EdgeswapFailure):
    """ONNX Runtime and torch differ by more than the tolerance."""


class GraphNotExported(EdgeswapFailure):
    """A graph could not be written, or is not valid ONNX."""
