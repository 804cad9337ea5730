"""TensorRT engines: a bundle in, a bundle with plans for the named GPUs out.

    from edgeswap_export.engine import EngineConfig, engine

    engine("bundle", EngineConfig(backend="tensorrt_rtx", targets=("SM86", "SM89")), "with-engines")

It needs the runtime and TensorRT alone, so that it works on a Jetson without torch or onnx.
"""

from edgeswap_export.engine._config import EngineConfig
from edgeswap_export.engine._stage import engine

__all__ = ["EngineConfig", "engine"]
