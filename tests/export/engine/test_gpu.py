"""On a machine with a GPU: real engines, built, run, refitted, compared with ONNX Runtime.

    python -m pytest -m gpu tests/export/engine/test_gpu.py

Elsewhere each test is skipped and says why.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeswap_export.engine import BuilderOptions, EngineConfig, engine
from edgeswap_runtime import Swapper
from edgeswap_runtime.backends.cuda import Gpu, require_gpu
from edgeswap_runtime.errors import DeviceNotGranted

from ..conftest import Exported

pytestmark = pytest.mark.gpu


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path / "cache"))
    cuda = pytest.importorskip("cuda.bindings.runtime")
    try:
        return require_gpu(cuda, 0)
    except DeviceNotGranted as error:
        pytest.skip(str(error))


def _config(backend: str, gpu: Gpu, **changes: Any) -> EngineConfig:
    pytest.importorskip(backend)
    rtx = backend == "tensorrt_rtx"
    base = EngineConfig(backend=backend, gpus=(gpu.architecture,) if rtx else ())
    return replace(base, **changes)


def _swap(bundle: Path, backend: str, device: str) -> np.ndarray:
    crop, source = np.random.default_rng(0).integers(40, 220, (2, 24, 24, 3), dtype=np.uint8)
    with Swapper.open(bundle, backend=backend, device=device) as swapper:
        identity = swapper.identity_of_crops([source])
        swapped = [swapper.swap_crop(crop, identity) for _ in range(4)]
    for again in swapped[1:]:  # eager, recorded and launched runs agree
        np.testing.assert_array_equal(again, swapped[0])
    return swapped[0]


@pytest.mark.parametrize("backend", ["tensorrt_rtx", "tensorrt"])
def test_engines_compute_what_onnx_runtime_computes(
    backend: str, gpu: Gpu, plain: Exported, tmp_path: Path
) -> None:
    """float32 without TF32: sums in another order, so at most one 8-bit level."""
    out = engine(plain.bundle, _config(backend, gpu), tmp_path / "out")
    wanted = _swap(out, "ort", "cpu").astype(int)
    assert np.abs(_swap(out, backend, "cuda") - wanted).max() <= 1


@pytest.mark.parametrize("backend", ["tensorrt_rtx", "tensorrt"])
def test_refit_with_the_same_weights_changes_nothing(
    backend: str, gpu: Gpu, plain: Exported, tmp_path: Path
) -> None:
    config = _config(backend, gpu, builder=BuilderOptions(refittable=True))
    built = engine(plain.bundle, config, tmp_path / "built")
    out = engine(
        plain.bundle, replace(config, builder=BuilderOptions(), refit=str(built)), tmp_path / "out"
    )
    assert (
        np.abs(_swap(out, backend, "cuda").astype(int) - _swap(built, backend, "cuda")).max() <= 1
    )


def test_the_probe_names_this_gpu(gpu: Gpu) -> None:
    properties = importlib.import_module("cuda.bindings.runtime").cudaGetDeviceProperties(0)[1]
    assert gpu.architecture == f"SM{properties.major}{properties.minor}"
    assert gpu.memory_bytes > 1 << 30
