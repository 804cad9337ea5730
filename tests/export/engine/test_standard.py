"""`--backend tensorrt` on fakes with the names of TensorRT 10.3, 10.13 and 11.4.

Names and signatures only: what a real builder makes of the calls is not shown here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from edgeswap_export.engine import BuilderOptions, EngineConfig, engine
from edgeswap_export.engine._errors import EngineFailed, UnsupportedEngine
from edgeswap_runtime import Bundle, Swapper
from edgeswap_runtime.backends.ort import OrtBackend
from edgeswap_runtime.bundle.manifest import read_manifest, write_manifest
from edgeswap_runtime.errors import DeviceNotGranted

from ..conftest import Exported
from .test_engine import load

VERSIONS = ("tensorrt 10.3.0", "tensorrt 10.13.3", "tensorrt 11.4.0")
HERE = EngineConfig(backend="tensorrt")
TF32 = BuilderOptions(tf32=True)
UNTIMED = BuilderOptions(timing_cache=False)
REFITTABLE = BuilderOptions(refittable=True)
AMPERE = BuilderOptions(hardware_compatibility="ampere-plus")


@pytest.fixture(scope="module")
def nvidia() -> ModuleType:
    return load("fake_nvidia")


@pytest.fixture
def install(
    nvidia: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Put fakes where TensorRT and CUDA would be imported from."""
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path / "cache"))

    def put(label: str, **properties: Any) -> SimpleNamespace:
        old = label == VERSIONS[0]
        cuda = nvidia.FakeCuda(
            "cuda 12.9" if old else "cuda 13", nvidia.FakeProperties(**properties)
        )
        trt = nvidia.FakeTensorRt(label, cuda)
        monkeypatch.setitem(sys.modules, trt.__name__, trt)
        monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda)
        return SimpleNamespace(trt=trt, cuda=cuda)

    return put


@pytest.mark.parametrize("label", VERSIONS)
def test_names_and_signatures_of_every_version(
    label: str, install: Callable[..., Any], plain: Exported, tmp_path: Path
) -> None:
    """Every option at once, then the engines are found and run. Names and signatures only."""
    fakes = install(label)
    config = replace(
        HERE,
        builder=BuilderOptions(
            refittable=True,
            hardware_compatibility="ampere-plus",
            workspace_mib=512,
            optimization_level=2,
        ),
    )
    lines: list[str] = []
    out = engine(plain.bundle, config, tmp_path / "out", progress=lines.append)
    engines = Bundle.open(out).manifest.engines
    assert {entry.inputs.version for entry in engines.values()} == {fakes.trt.__version__}
    for facts in fakes.trt.built:
        assert facts["typed"] and facts["flags"] == ["REFIT"] and facts["cleared"] == "TF32"
        assert facts["pools"] == {"WORKSPACE": 512 << 20}
        assert facts["builder_optimization_level"] == 2
        assert facts["hardware_compatibility_level"] == "AMPERE_PLUS"
    assert "denoise: Timing (9 steps)" in lines and not any("Deeper" in line for line in lines)
    facts = json.loads(next(out.glob("engines/*/engine.json")).read_text())
    assert facts["warnings"] == ["a kernel was slow"]
    crop = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    swapped = []
    for backend, device in (("ort", "cpu"), ("tensorrt", "cuda")):
        with Swapper.open(out, backend=backend, device=device) as swapper:
            swapped.append(swapper.swap_crop(crop, swapper.identity_of_crops([crop])))
    np.testing.assert_array_equal(*swapped)


def test_tf32_is_only_taken_when_asked_for(
    install: Callable[..., Any], plain: Exported, tmp_path: Path
) -> None:
    fakes = install(VERSIONS[2])
    engine(
        plain.bundle,
        replace(HERE, graphs=("encode",), builder=TF32),
        tmp_path / "out",
    )
    assert "cleared" not in fakes.trt.built[0]


def test_a_profile_runs_any_batch_within_it(
    install: Callable[..., Any], plain: Exported, tmp_path: Path
) -> None:
    """The detector's dynamic axes become a profile, and what is beyond it is refused."""
    install(VERSIONS[0])
    out = engine(plain.bundle, replace(HERE, graphs=("detector",)), tmp_path / "out")
    (entry,) = Bundle.open(out).manifest.engines.values()
    assert entry.inputs.profiles["input"][2] == (1, 3, 640, 640)


def test_timings_are_kept_for_this_gpu_and_version(
    install: Callable[..., Any], plain: Exported, tmp_path: Path
) -> None:
    config = replace(HERE, graphs=("encode", "decode"))
    cache = tmp_path / "cache" / "tensorrt"
    install(VERSIONS[0])
    engine(plain.bundle, config, tmp_path / "one")
    (file,) = cache.iterdir()
    assert file.read_bytes() == b"timed;timed;"
    engine(plain.bundle, replace(config, builder=UNTIMED), tmp_path / "two")
    assert file.read_bytes() == b"timed;timed;"
    file.write_bytes(b"another GPU's")  # the builder does not take it: it starts afresh
    engine(plain.bundle, config, tmp_path / "three")
    assert file.read_bytes() == b"timed;timed;"
    install(VERSIONS[0], name=b"Another GPU")
    engine(plain.bundle, config, tmp_path / "four")
    assert len(list(cache.iterdir())) == 2


def test_a_jetson_keeps_three_quarters_of_its_memory(
    install: Callable[..., Any], plain: Exported, tmp_path: Path
) -> None:
    """8 GB that are the CPU's too: the builder would take all of them."""
    orin = {"major": 8, "minor": 7, "integrated": 1, "totalGlobalMem": 7_800_000_000}
    fakes = install(VERSIONS[0], **orin)
    config = replace(HERE, graphs=("encode",))
    engine(plain.bundle, config, tmp_path / "out")
    assert fakes.trt.built[0]["pools"] == {"WORKSPACE": 1859 << 20}
    assert 1859 == 7_800_000_000 // 4 // (1 << 20)
    with pytest.raises(UnsupportedEngine, match="does not include sm87: it is for desktop"):
        engine(plain.bundle, replace(config, builder=AMPERE), tmp_path / "no")


def test_what_this_gpu_or_version_lacks_is_refused(
    install: Callable[..., Any], plain: Exported, tmp_path: Path
) -> None:
    install(VERSIONS[0], major=7, minor=5)
    manifest = read_manifest(plain.bundle)
    folder = tmp_path / "bf16"
    engine(plain.bundle, replace(HERE, graphs=("encode",)), folder)
    graphs = {name: replace(graph, precision="bf16") for name, graph in manifest.graphs.items()}
    write_manifest(folder, replace(manifest, graphs=graphs, files={}))
    with pytest.raises(UnsupportedEngine, match="is bf16, which sm75 does not compute"):
        engine(folder, HERE, tmp_path / "out")
    install(VERSIONS[0])
    same = replace(HERE, builder=BuilderOptions(hardware_compatibility="same-compute-capability"))
    with pytest.raises(
        UnsupportedEngine,
        match=r"TensorRT 10.3.0 has no hardware compatibility 'same-compute-capability': a newer",
    ):
        engine(plain.bundle, same, tmp_path / "out")
    install(VERSIONS[2])
    engine(plain.bundle, replace(same, graphs=("encode",)), tmp_path / "out")


def test_the_builders_words_reach_the_user_and_nothing_is_left(
    install: Callable[..., Any], plain: Exported, tmp_path: Path
) -> None:
    fakes = install(VERSIONS[2])
    fakes.trt.refuses = "Error Code 10:\n could not find any implementation"
    with pytest.raises(
        EngineFailed,
        match=r"TensorRT 11.4.0.106 could not build graph 'decode': Error Code 10: could not find",
    ):
        engine(plain.bundle, HERE, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_without_a_driver_nothing_of_tensorrt_is_touched(
    install: Callable[..., Any], plain: Exported, tmp_path: Path
) -> None:
    fakes = install(VERSIONS[1])
    fakes.cuda.devices = 0
    with pytest.raises(DeviceNotGranted, match="'cuda' was not granted, CUDA offers no device"):
        engine(plain.bundle, HERE, tmp_path / "out")
    assert fakes.trt.built == []


def _personalized(folder: Path, bundle: Path, **change: float) -> Path:
    """The bundle's decoder with other weights of the same shapes, hashed anew."""
    import shutil

    shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns("engines"))
    model = onnx.load(folder / "decode.onnx")
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim >= 2:  # not the shapes and factors of resizing
            scaled = (values * np.float32(change["scale"])).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(scaled, tensor.name))
    (folder / "decode.onnx").write_bytes(model.SerializeToString(deterministic=True))
    write_manifest(folder, replace(read_manifest(bundle), engines={}, files={}))
    return folder


@pytest.mark.parametrize("label", VERSIONS)
def test_refit(label: str, install: Callable[..., Any], plain: Exported, tmp_path: Path) -> None:
    """A personalized decoder takes over an engine and computes with its own weights (on fakes)."""
    install(label)
    config = replace(HERE, graphs=("decode",))
    built = engine(plain.bundle, replace(config, builder=REFITTABLE), tmp_path / "built")
    other = _personalized(tmp_path / "other", plain.bundle, scale=1.5)
    out = engine(other, replace(config, refit=str(built)), tmp_path / "refitted")
    (old,) = Bundle.open(built).manifest.engines
    (entry,) = Bundle.open(out).manifest.engines.values()
    assert entry.inputs.refitted_from == old and entry.inputs.key != old
    manifest = read_manifest(other)
    random = np.random.default_rng(0)
    arrays = {t.name: random.normal(size=t.shape).astype(np.float32)
              for t in manifest.graphs["decode"].inputs}  # fmt: skip
    found = {}
    for name, folder in (("engine", out), ("own", other), ("first", built)):
        if name == "engine":
            from edgeswap_runtime.backends import open_backend
            from edgeswap_runtime.backends.protocol import BackendRequest

            request = BackendRequest(
                graphs={"decode": out / "decode.onnx"}, device="cuda", bundle=Bundle.open(out)
            )
            backend: Any = open_backend("tensorrt", request)
        else:
            backend = OrtBackend({"decode": folder / "decode.onnx"}, threads=1)
        inputs = {key: backend.upload(value) for key, value in arrays.items()}
        found[name] = backend.download(backend.run("decode", inputs)["crop"])
        backend.close()
    np.testing.assert_array_equal(found["engine"], found["own"])
    assert np.abs(found["engine"] - found["first"]).max() > 0.01


def test_refit_refusals(install: Callable[..., Any], plain: Exported, tmp_path: Path) -> None:
    install(VERSIONS[1])
    config = replace(HERE, graphs=("decode",))
    fixed = engine(plain.bundle, config, tmp_path / "fixed")
    loose = engine(plain.bundle, replace(config, builder=REFITTABLE), tmp_path / "loose")
    other = _personalized(tmp_path / "other", plain.bundle, scale=2.0)

    def refused(bundle: Path, source: Path, message: str) -> None:
        with pytest.raises(UnsupportedEngine, match=message):
            engine(bundle, replace(config, refit=str(source)), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    refused(other, plain.bundle, r"weights of graph 'decode' \(it holds none\): build")
    refused(other, fixed, "it was not built with --refittable")
    model = onnx.load(other / "decode.onnx")
    model.graph.node[0].name = "renamed"
    (other / "decode.onnx").write_bytes(model.SerializeToString())
    write_manifest(other, replace(read_manifest(other), files={}))
    refused(other, loose, "its graph is another one, not only its weights")
    install(VERSIONS[2])
    refused(other, loose, "it is of tensorrt 10.13.3.9, here is tensorrt 11.4.0.106")
    install(VERSIONS[1], major=8, minor=9)
    refused(other, loose, "it is for sm86")
