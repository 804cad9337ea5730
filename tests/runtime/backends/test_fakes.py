"""The fakes of TensorRT and CUDA have the names and signatures of the real ones, and no others."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

RTX = "tensorrt_rtx 1.7.1"


def test_the_names_come_from_the_real_bindings(nvidia: ModuleType) -> None:
    """Where the real RTX bindings are installed, the committed names are theirs."""
    trt = pytest.importorskip("tensorrt_rtx")
    facts = nvidia.NAMES[RTX]
    if trt.__version__ != facts["version"]:
        pytest.skip(f"another version is installed: {trt.__version__}")
    assert set(facts["names"]) <= set(dir(trt))
    for name in ("Builder", "IBuilderConfig", "ICudaEngine", "IExecutionContext", "OnnxParser"):
        assert set(facts["classes"][name]) <= set(dir(getattr(trt, name)))


def test_the_fakes_refuse_what_the_real_ones_do_not_have(nvidia: ModuleType) -> None:
    """A test with fakes that take anything would show nothing."""
    old, new = (
        nvidia.FakeTensorRt(label, nvidia.FakeCuda())
        for label in ("tensorrt 10.3.0", "tensorrt 11.4.0")
    )
    assert old.BuilderFlag.FP16 and not hasattr(new.BuilderFlag, "FP16")
    assert not hasattr(old, "ComputeCapability")

    class Silent(new.ILogger):  # type: ignore[misc, name-defined]
        def log(self, severity: Any, msg: str) -> None:
            pass

    builder = new.Builder(Silent())
    with pytest.raises(AttributeError, match="Builder has no 'build_engine'"):
        builder.build_engine()
    with pytest.raises(TypeError, match="fit none of"):
        builder.create_network("strongly typed")
    with pytest.raises(TypeError, match="fit none of"):
        new.Builder()
    config = builder.create_builder_config()
    with pytest.raises(AttributeError, match="IBuilderConfig has no 'max_workspace_size'"):
        config.max_workspace_size = 1
    with pytest.raises(TypeError, match="fit none of"):
        config.set_flag(new.MemoryPoolType.WORKSPACE)
    cuda = nvidia.FakeCuda("cuda 12.9")
    with pytest.raises(TypeError, match="cudaMalloc: 2 arguments do not fit"):
        cuda.cudaMalloc(1, 2)
