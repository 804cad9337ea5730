"""Define the errors of engines.

EdgeswapError                    the caller's mistake; exit code 2
└── UnsupportedEngine (ValueError)   graph, GPU, backend and options do not fit together
EdgeswapFailure                  exit code 1
└── EngineFailed                 TensorRT could not build or refit an engine; with its own words
"""

from __future__ import annotations

from edgeswap_runtime.errors import EdgeswapError, EdgeswapFailure


class UnsupportedEngine(EdgeswapError, ValueError):
    """Graph, GPU, backend and options do not fit together; raised before anything is built."""


class EngineFailed(EdgeswapFailure):
    """TensorRT could not build or refit an engine; the message holds what it logged."""
