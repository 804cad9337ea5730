"""The table of backends, the fake, and ONNX Runtime: buffers, devices, threads, errors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, checker, helper, numpy_helper

from edgeswap_runtime import EdgeswapError, FakeBackend
from edgeswap_runtime.backends import BACKENDS, open_backend
from edgeswap_runtime.backends import ort as ort_backend
from edgeswap_runtime.backends.ort import OrtBackend
from edgeswap_runtime.backends.protocol import BackendRequest
from edgeswap_runtime.errors import (
    BackendMissing,
    DeviceNotGranted,
    GraphFailed,
    InvalidRequest,
    PrecisionNotGranted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


NOTHING = BackendRequest(graphs={}, device="cpu")


def _write(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> Path:
    graph = helper.make_graph(nodes, "test", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def graphs(tmp_path: Path) -> dict[str, Path]:
    """`double`: y = x + x of free length; `both`: p = a + b, q = a - b; `gather`: may fail."""

    def vector(name: str, kind: int = TensorProto.FLOAT, size: Any = "n") -> Any:
        return helper.make_tensor_value_info(name, kind, [size])

    node = helper.make_node
    return {
        "double": _write(
            tmp_path / "double.onnx", [node("Add", ["x", "x"], ["y"])], [vector("x")], [vector("y")]
        ),
        "both": _write(
            tmp_path / "both.onnx",
            [node("Add", ["a", "b"], ["p"]), node("Sub", ["a", "b"], ["q"])],
            [vector("a", size=3), vector("b", size=3)],
            [vector("p", size=3), vector("q", size=3)],
        ),
        "gather": _write(
            tmp_path / "gather.onnx",
            [node("Gather", ["x", "i"], ["y"])],
            [vector("x"), vector("i", TensorProto.INT64)],
            [vector("y", size="m")],
        ),
    }


@pytest.fixture
def backend(graphs: dict[str, Path]) -> Iterator[OrtBackend]:
    opened = OrtBackend(graphs, threads=1)
    yield opened
    opened.close()


def _floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_results_by_name(backend: OrtBackend) -> None:
    inputs = {"a": backend.upload(_floats(1, 2, 3)), "b": backend.upload(_floats(10, 20, 30))}
    outputs = backend.run("both", inputs)
    assert backend.download(outputs["p"]).tolist() == [11, 22, 33]
    assert backend.download(outputs["q"]).tolist() == [-9, -18, -27]


def test_outputs_feed_inputs_without_leaving_the_device(backend: OrtBackend) -> None:
    doubled = backend.run("double", {"x": backend.upload(_floats(1, 2, 3))})["y"]
    outputs = backend.run("both", {"a": doubled, "b": doubled})
    assert backend.download(outputs["p"]).tolist() == [4, 8, 12]


def test_output_buffers_are_reused(backend: OrtBackend) -> None:
    """As the docstring says: what a run returned is overwritten by the next."""
    first = backend.run("double", {"x": backend.upload(_floats(1, 2))})["y"]
    kept = backend.download(first)
    second = backend.run("double", {"x": backend.upload(_floats(5, 6))})["y"]
    assert second.data_ptr() == first.data_ptr()
    assert backend.download(first).tolist() == [10, 12]
    assert kept.tolist() == [2, 4]


def test_a_new_shape_gets_new_buffers(backend: OrtBackend) -> None:
    for length in (2, 5, 5, 3):
        values = np.arange(length, dtype=np.float32)
        found = backend.run("double", {"x": backend.upload(values)})["y"]
        assert backend.download(found).tolist() == (2 * values).tolist()


def test_uploads_are_copies(backend: OrtBackend) -> None:
    values = _floats(1, 2)
    buffer = backend.upload(values)
    values[:] = 99
    assert backend.download(buffer).tolist() == [1, 2]
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    np.testing.assert_array_equal(backend.download(backend.upload(transposed)), transposed)


def test_failures_carry_onnxruntimes_words(backend: OrtBackend) -> None:
    x, far = backend.upload(_floats(1, 2)), backend.upload(np.array([7]))
    with pytest.raises(GraphFailed, match=r"onnxruntime failed in graph 'gather'.*idx=7"):
        backend.run("gather", {"x": x, "i": far})
    with pytest.raises(InvalidRequest, match=r"no graph 'triple': expected one of \['both'"):
        backend.run("triple", {})


def test_a_graph_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a protobuf")
    with pytest.raises(InvalidRequest, match=r"onnxruntime cannot load .*bad\.onnx"):
        OrtBackend({"bad": tmp_path / "bad.onnx"})


def test_devices_and_threads_are_checked(graphs: dict[str, Path]) -> None:
    with pytest.raises(
        InvalidRequest, match="no device 'npu': expected one of cpu, cuda, tensorrt"
    ):
        OrtBackend(graphs, device="npu")
    with pytest.raises(InvalidRequest, match="threads is 0, expected at least 1"):
        OrtBackend(graphs, threads=0)


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_is_not_there_is_refused(
    graphs: dict[str, Path], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime was built with CUDA")
    with pytest.raises(
        DeviceNotGranted, match=f"device '{device}' was not granted.*edgeswap doctor"
    ):
        OrtBackend(graphs, device=device)


def test_a_provider_that_is_listed_but_not_given_is_refused(
    graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime-gpu without a GPU lists CUDA and then runs on the CPU without a word."""
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: listed)
    real = ort.InferenceSession

    def on_the_cpu(path: str, options: Any, providers: Any) -> Any:
        assert providers[0][0] == "CUDAExecutionProvider"
        return real(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "InferenceSession", on_the_cpu)
    with pytest.raises(DeviceNotGranted, match="onnxruntime offers CPUExecutionProvider: it needs"):
        OrtBackend(graphs, device="cuda")


def test_threads_reach_the_session(graphs: dict[str, Path]) -> None:
    backend = OrtBackend(graphs, threads=1)
    options = backend._sessions["double"].get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    spinning = OrtBackend(graphs, spinning=True)._sessions["double"].get_session_options()
    assert spinning.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert options.use_deterministic_compute


def test_unknown_backend() -> None:
    with pytest.raises(BackendMissing, match="there is no backend 'magic': expected one of"):
        open_backend("magic", NOTHING)


def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "edgeswap_runtime.backends.ort", raising=False)
    with pytest.raises(BackendMissing, match="backend 'ort' is not installed: python -m pip") as e:
        open_backend("ort", NOTHING)
    assert isinstance(e.value, EdgeswapError)


def test_our_own_missing_module_is_no_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "broken", ("edgeswap_runtime.backends._nowhere:open", "x"))
    with pytest.raises(ModuleNotFoundError, match="_nowhere"):
        open_backend("broken", NOTHING)


def test_onnx_runtime_has_no_choice_of_precision() -> None:
    request = BackendRequest(graphs={}, device="cpu", precision="bf16")
    with pytest.raises(
        PrecisionNotGranted,
        match="precision 'bf16' was not granted, onnxruntime offers the graphs' own: leave it out",
    ):
        open_backend("ort", request)


def test_the_fake_behaves_like_a_backend() -> None:
    fake = FakeBackend({"double": lambda inputs: {"y": inputs["x"] * 2}})
    first = fake.run("double", {"x": fake.upload(_floats(1, 2))})["y"]
    fake.run("double", {"x": fake.upload(_floats(5, 6))})
    assert fake.download(first).tolist() == [10, 12]  # reused, as real ones do
    assert fake.calls == ["double", "double"]
    values = _floats(1)
    buffer = fake.upload(values)
    values[:] = 9
    assert fake.download(buffer).tolist() == [1]
    with pytest.raises(InvalidRequest, match=r"no graph 'half': expected one of \['double'\]"):
        fake.run("half", {})
    fake.close()
    with pytest.raises(InvalidRequest, match="no graph 'double'"):
        fake.run("double", {})


@pytest.mark.parametrize("saturates", [True, False])
def test_only_processors_that_saturate_pay_for_exact_int8(
    saturates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is VNNI, the setting would make int8 as slow as float32."""
    monkeypatch.setattr(ort_backend, "saturates_int8", lambda: saturates)
    options = ort_backend._session_options("cpu", 1)
    try:
        found = options.get_session_config_entry("session.x64quantprecision")
    except RuntimeError:
        found = ""  # it is not set
    assert found == ("1" if saturates else "")


@pytest.mark.parametrize("name", ["ort", "openvino"])
def test_int8_products_do_not_saturate(name: str, tmp_path: Path) -> None:
    """Without VNNI, processors add two products in 16 bits: 2 * 255 * 127 does not fit."""
    depth, unit = 64, np.float32(1 / 64)
    made = [
        helper.make_node("QuantizeLinear", ["x", "unit", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "unit", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "unit", "zero"], ["wd"]),
        helper.make_node("Gemm", ["xd", "wd", "b"], ["s"]),
        helper.make_node("QuantizeLinear", ["s", "wide", "zero"], ["sq"]),
        helper.make_node("DequantizeLinear", ["sq", "wide", "zero"], ["y"]),
    ]
    wide = np.float32(4 * depth / 127)
    stored = {
        "unit": unit,
        "wide": wide,
        "zero": np.int8(0),
        "w": np.full((depth, 8), 127, np.int8),
        "b": np.zeros(8, np.float32),
    }
    weights = [numpy_helper.from_array(np.asarray(v), name) for name, v in stored.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, depth])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])
    graph = helper.make_graph(made, "int8", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = tmp_path / "int8.onnx"
    file.write_bytes(model.SerializeToString())
    if name == "openvino":
        pytest.importorskip("openvino")
    backend = open_backend(name, BackendRequest(graphs={"int8": file}, device="cpu"))
    given = np.full((1, depth), 127 * unit, np.float32)
    found = backend.download(backend.run("int8", {"x": backend.upload(given)})["y"])
    backend.close()
    assert found == pytest.approx(np.full((1, 8), depth * (127 * unit) ** 2), abs=float(wide))
