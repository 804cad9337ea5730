"""TensorRT engines: put engines for named GPUs into a bundle.

    from edgeswap_export.engine import EngineConfig, engine

    engine("bundle", EngineConfig(backend="tensorrt_rtx", gpus=("sm86", "sm89")), "with-engines")

It needs the runtime and TensorRT only, neither torch nor onnx, so that it works on a Jetson.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_export.engine._build import EngineRequest, SerializedEngine, build_engine
    from edgeswap_export.engine._config import BuilderOptions, EngineConfig
    from edgeswap_export.engine._errors import EngineFailed, UnsupportedEngine
    from edgeswap_export.engine._stage import engine
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_export.engine._build": ("EngineRequest", "SerializedEngine", "build_engine"),
            "edgeswap_export.engine._config": ("BuilderOptions", "EngineConfig"),
            "edgeswap_export.engine._errors": ("EngineFailed", "UnsupportedEngine"),
            "edgeswap_export.engine._stage": ("engine",),
        },
    )

__all__ = [
    "BuilderOptions",
    "EngineConfig",
    "EngineFailed",
    "EngineRequest",
    "SerializedEngine",
    "UnsupportedEngine",
    "build_engine",
    "engine",
]
