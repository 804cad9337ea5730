"""Write a bundle as a model repository of NVIDIA's Triton Inference Server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_export.triton.repository import ENSEMBLES, TritonConfig, docker_line, triton
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_export.triton.repository": (
                "ENSEMBLES",
                "TritonConfig",
                "docker_line",
                "triton",
            ),
        },
    )

__all__ = [
    "ENSEMBLES",
    "TritonConfig",
    "docker_line",
    "triton",
]
