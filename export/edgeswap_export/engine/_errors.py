"""What can go wrong with engines.

EdgeswapError                    the caller's mistake; exit code 2
└── UnsupportedEngine (ValueError)   this graph, GPU, backend or option does not go together
EdgeswapFailure                  exit code 1
└── EngineFailed                 TensorRT could not build or refit an engine; with its own words
"""

from __future__ import annotations

from edgeswap_runtime.errors import EdgeswapError, EdgeswapFailure


class UnsupportedEngine(EdgeswapError, ValueError):
    """What was asked for cannot be, and can be told before anything is built."""


class EngineFailed(EdgeswapFailure):
    """TensorRT refused; the message holds what it logged."""
