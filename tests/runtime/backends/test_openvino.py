"""OpenVINO: the same numbers as ONNX Runtime, precision read back, buffers, cache, errors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, checker, helper, numpy_helper

from edgeswap_runtime import Swapper
from edgeswap_runtime.backends import open_backend
from edgeswap_runtime.backends.ort import OrtBackend
from edgeswap_runtime.backends.protocol import BackendRequest
from edgeswap_runtime.errors import (
    BackendMissing,
    DeviceNotGranted,
    GraphFailed,
    InvalidRequest,
    PrecisionNotGranted,
)

ov = pytest.importorskip("openvino")
from edgeswap_runtime.backends import openvino as _openvino  # noqa: E402
from edgeswap_runtime.backends.openvino import OpenVinoBackend, executed_precisions  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CAPABILITIES = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
NATIVE = [name for name, (_, needs) in _openvino.PRECISIONS.items() if needs in CAPABILITIES]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


@pytest.fixture
def graphs(tmp_path: Path) -> dict[str, Path]:
    """`net`: two convolutions with a nonlinearity between, any batch; `double`: any length."""
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(
            random.normal(0, 0.3, (8, depth, 3, 3)).astype(np.float32), f"w{index}"
        )
        for index, depth in enumerate((4, 8))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["a"], ["s"]),
        helper.make_node("Mul", ["a", "s"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["y"], pads=[1, 1, 1, 1]),
    ]
    image = ["n", None, 12, 12]
    net = (nodes, [("x", ["n", 4, 12, 12])], [("y", [image[0], 8, 12, 12])], weights)
    double = ([helper.make_node("Add", ["x", "x"], ["y"])], [("x", ["n"])], [("y", ["n"])], [])
    return {name: _write(tmp_path, name, *parts) for name, parts in
            {"net": net, "double": double}.items()}  # fmt: skip


def _write(folder: Path, name: str, nodes: Any, inputs: Any, outputs: Any, weights: Any) -> Path:
    def value(entry: tuple[str, list[Any]]) -> Any:
        return helper.make_tensor_value_info(entry[0], TensorProto.FLOAT, entry[1])

    graph = helper.make_graph(nodes, name, [*map(value, inputs)], [*map(value, outputs)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _run(backend: Any, values: np.ndarray) -> np.ndarray:
    return backend.download(backend.run("net", {"x": backend.upload(values)})["y"])


@pytest.mark.parametrize("precision", NATIVE)
@pytest.mark.parametrize("batch", [1, 3])
def test_parity_with_onnx_runtime(graphs: dict[str, Path], precision: str, batch: int) -> None:
    """float32 differs by rounding alone; bfloat16 keeps 8 bits, so each product is 2^-9 off."""
    values = np.random.default_rng(1).normal(size=(batch, 4, 12, 12)).astype(np.float32)
    wanted = _run(OrtBackend(graphs, threads=1), values)
    found = _run(OpenVinoBackend(graphs, threads=1, precision=precision), values)
    error = np.abs(found - wanted).max() / wanted.std()
    assert error < (1e-5 if precision == "fp32" else 0.03)
    assert error > 1e-4 or precision == "fp32"  # else it has computed in float32 after all


def test_the_swap_is_the_same_as_on_onnx_runtime(
    bundle_folder: Path, photo: Callable[..., np.ndarray]
) -> None:
    swapped = []
    for backend in ("ort", "openvino"):
        with Swapper.open(bundle_folder, backend=backend) as swapper:
            swapped.append(swapper.swap(photo(1), swapper.identity(photo(2))))
    np.testing.assert_array_equal(*swapped)


def test_outputs_feed_inputs_and_are_reused(graphs: dict[str, Path]) -> None:
    backend = OpenVinoBackend({"double": graphs["double"]}, threads=1)
    first = backend.run("double", {"x": backend.upload(np.ones(3, np.float32))})["y"]
    kept = backend.download(first)
    again = backend.run("double", {"x": backend.upload(np.full(3, 4, np.float32))})["y"]
    assert backend.download(again).tolist() == [8, 8, 8]
    assert backend.download(first).tolist() == [8, 8, 8]
    assert kept.tolist() == [2, 2, 2]


def test_a_graph_feeds_itself(graphs: dict[str, Path]) -> None:
    """A sampler's loop may hand an output straight back."""
    backend = OpenVinoBackend({"double": graphs["double"]}, threads=1)
    value = backend.upload(np.ones(2, np.float32))
    for _ in range(3):
        value = backend.upload(backend.download(backend.run("double", {"x": value})["y"]))
    assert backend.download(value).tolist() == [8, 8]


def test_uploads_are_copies_and_shapes_may_change(graphs: dict[str, Path]) -> None:
    backend = OpenVinoBackend({"double": graphs["double"]}, threads=1)
    values = np.arange(6, dtype=np.float32).reshape(2, 3).T
    buffer = backend.upload(values)
    expected = values.copy()
    values[:] = 99
    np.testing.assert_array_equal(backend.download(buffer), expected)
    for length in (2, 5, 3):
        row = np.arange(length, dtype=np.float32)
        found = backend.run("double", {"x": backend.upload(row)})["y"]
        assert backend.download(found).tolist() == (2 * row).tolist()


def test_float32_is_float32_where_openvino_would_take_less(graphs: dict[str, Path]) -> None:
    """OpenVINO's own default is bfloat16 on processors that have it."""
    settings = _openvino._settings("CPU", 1, "fp32")
    core, path = ov.Core(), graphs["net"]
    compiled = _openvino._compile(core, core.read_model(path), path, "CPU", settings)
    assert not set(executed_precisions(compiled)) & {"bf16", "f16"}


@pytest.mark.skipif("bf16" not in NATIVE, reason="this processor has no bfloat16")
def test_bfloat16_is_what_the_layers_compute_in(graphs: dict[str, Path]) -> None:
    settings = _openvino._settings("CPU", 1, "bf16")
    core, path = ov.Core(), graphs["net"]
    compiled = _openvino._compile(core, core.read_model(path), path, "CPU", settings)
    assert executed_precisions(compiled)["bf16"] >= 2  # both convolutions


@pytest.mark.skipif("fp16" in NATIVE, reason="this processor has float16")
def test_float16_is_refused_where_the_processor_has_none(graphs: dict[str, Path]) -> None:
    """OpenVINO itself would take bfloat16 or float32 and not say so."""
    with pytest.raises(
        PrecisionNotGranted,
        match=r"precision 'fp16' was not granted, openvino on this CPU offers fp32.*no instruct",
    ):
        OpenVinoBackend(graphs, precision="fp16")


def test_what_openvino_took_is_read_back(
    graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that states the capability and then computes in something else."""
    monkeypatch.setitem(_openvino.PRECISIONS, "fp16", ("f32", "FP32"))
    monkeypatch.setattr(_openvino, "executed_precisions", lambda compiled: {"f32": 3, "bf16": 2})
    with pytest.raises(PrecisionNotGranted, match=r"'fp32' was not granted.*offers bf16: it took"):
        OpenVinoBackend(graphs, precision="fp32")


def test_compiled_models_are_kept_by_hash(graphs: dict[str, Path], cache: Path) -> None:
    """Another graph, precision or thread count is another folder; the same is none."""
    net = {"net": graphs["net"]}
    OpenVinoBackend(net, threads=1)
    (first,) = cache.iterdir()
    assert len(first.name) == 64 and list(first.glob("*.blob"))
    OpenVinoBackend(net, threads=1)
    assert list(cache.iterdir()) == [first]
    OpenVinoBackend(net, threads=2)
    OpenVinoBackend({"other": graphs["double"]}, threads=1)
    assert len(list(cache.iterdir())) == 3


def test_a_damaged_cache_is_made_again(graphs: dict[str, Path], cache: Path) -> None:
    values = np.ones((1, 4, 12, 12), np.float32)
    wanted = _run(OpenVinoBackend(graphs, threads=1), values)
    for blob in cache.rglob("*.blob"):
        blob.write_bytes(blob.read_bytes()[: blob.stat().st_size // 2])
    np.testing.assert_array_equal(_run(OpenVinoBackend(graphs, threads=1), values), wanted)


def test_devices_precisions_and_threads_are_checked(graphs: dict[str, Path]) -> None:
    with pytest.raises(InvalidRequest, match="no device 'cuda': expected one of cpu, gpu, npu"):
        OpenVinoBackend(graphs, device="cuda")
    with pytest.raises(InvalidRequest, match="no precision 'int8': expected one of fp32, bf16"):
        OpenVinoBackend(graphs, precision="int8")
    with pytest.raises(InvalidRequest, match="threads is 0, expected at least 1"):
        OpenVinoBackend(graphs, threads=0)
    missing = next(d for d in ("npu", "gpu") if d.upper() not in ov.Core().available_devices)
    with pytest.raises(
        DeviceNotGranted, match=f"device '{missing}' was not granted, openvino offers .*cpu.*--dev"
    ):
        OpenVinoBackend(graphs, device=missing)


def test_failures_carry_openvinos_words(graphs: dict[str, Path], tmp_path: Path) -> None:
    backend = OpenVinoBackend(graphs, threads=1)
    wrong = backend.upload(np.ones((1, 3, 12, 12), np.float32))
    with pytest.raises(GraphFailed, match="openvino failed in graph 'net': "):
        backend.run("net", {"x": wrong})
    with pytest.raises(InvalidRequest, match=r"no graph 'triple': expected one of \['double'"):
        backend.run("triple", {})
    backend.close()
    with pytest.raises(InvalidRequest, match=r"no graph 'net': expected one of \[\]"):
        backend.run("net", {})
    (tmp_path / "bad.onnx").write_bytes(b"not a protobuf")
    with pytest.raises(InvalidRequest, match=r"openvino cannot load .*bad\.onnx"):
        OpenVinoBackend({"bad": tmp_path / "bad.onnx"})


def test_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "edgeswap_runtime.backends.openvino", raising=False)
    with pytest.raises(BackendMissing, match=r"'openvino' is not installed: .*edgeswap\[openvino"):
        open_backend("openvino", BackendRequest(graphs={}, device="cpu"))
