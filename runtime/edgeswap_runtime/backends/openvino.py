"""Run graphs with OpenVINO, on processors of any maker and on Intel's GPUs and NPUs."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov

from edgeswap_runtime.backends._graph_check import Port, Ports, require_fit
from edgeswap_runtime.backends.instructions import saturates_int8
from edgeswap_runtime.backends.threads import require_threads
from edgeswap_runtime.cache import cache_folder
from edgeswap_runtime.errors import (
    DeviceNotGranted,
    GraphFailed,
    InvalidRequest,
    PrecisionNotGranted,
)
from edgeswap_runtime.files import canonical_json, sha256_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeswap_runtime.backends.protocol import BackendRequest

PRECISIONS = {"fp32": ("f32", "FP32"), "bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16")}
"""What we call it -> OpenVINO's element type, and the capability that a device must state."""

EXACT_INT8 = {"LP_TRANSFORMS_MODE": "NO"}
"""Quantized layers compute in floating point: on x86 processors without VNNI OpenVINO's INT8
products saturate, and the packaged student loses 5 dB. There is less speed to lose."""

_DTYPES = {"f16": "float16", "f32": "float32", "f64": "float64"} | {
    f"{short}{bits}": f"{long}{bits}"
    for short, long in (("i", "int"), ("u", "uint"))
    for bits in (8, 16, 32, 64)
}
_FAILURES = (RuntimeError, UnicodeDecodeError)
"""What OpenVINO raises; the second where a damaged graph's names are no text."""


def open_openvino(request: BackendRequest) -> OpenVinoBackend:
    """Open the OpenVINO backend; the function that the table of backends names.

    Raises:
        BadBundle: a graph is not what the bundle's manifest states.
    """
    backend = OpenVinoBackend(
        request.graphs,
        device=request.device,
        threads=request.threads,
        precision="fp32" if request.precision is None else request.precision,
    )
    if request.bundle is not None:
        require_fit(request.bundle, backend.ports())
    return backend


class OpenVinoBackend:
    """Holds one compiled model and one inference request per graph.

    Inputs and outputs are tensors that the requests share: nothing is copied between graphs.
    **Output buffers belong to a graph's request: its next run overwrites what its last returned.**
    What was compiled is kept in a folder of the user's cache that is named by a hash of the
    graph, OpenVINO's version, the device, the precision and the thread count.

    Args:
        graphs: graph name -> ONNX file.
        device: "cpu", "gpu" or "npu".
        threads: CPU threads per graph; OpenVINO's own choice when None.
        precision: "fp32", "bf16" or "fp16", what the floating-point part of every graph computes
            in. INT8 layers of a quantized graph stay INT8, but on CPUs that add their products
            inexactly, see `EXACT_INT8`. OpenVINO's own default would be bf16 wherever the CPU has
            it; here it is only taken when asked for.

    Raises:
        DeviceNotGranted: OpenVINO does not see the device.
        PrecisionNotGranted: the device does not compute in it natively, or did not take it.
        InvalidRequest: no such device or precision, no such number of threads, or a graph that
            does not load.
    """

    def __init__(
        self,
        graphs: Mapping[str, Path],
        *,
        device: str = "cpu",
        threads: int | None = None,
        precision: str = "fp32",
    ) -> None:
        if device not in ("cpu", "gpu", "npu"):
            raise InvalidRequest(
                f"backend 'openvino' has no device '{device}': expected one of cpu, gpu, npu"
            )
        if precision not in PRECISIONS:
            raise InvalidRequest(
                f"backend 'openvino' has no precision '{precision}': expected one of "
                f"{', '.join(PRECISIONS)}"
            )
        threads = require_threads(threads)
        self.lock = threading.RLock()
        core = ov.Core()
        self._device = device.upper()
        _require_device(core, device)
        _require_capability(core, self._device, precision)
        settings = _settings(self._device, threads, precision)
        self._requests: dict[str, ov.InferRequest] = {}
        self._ports: dict[str, Ports] = {}
        for name, path in graphs.items():
            # Now: compiling may add the names of inner tensors to the ports, or drop names.
            model, self._ports[name] = _read(core, path)
            compiled = _compile(core, model, path, self._device, settings)
            _require_taken(compiled, precision, self._device)
            self._requests[name] = compiled.create_infer_request()

    def ports(self) -> dict[str, Ports]:
        """Return every graph's inputs and outputs, as OpenVINO states them."""
        return dict(self._ports)

    def upload(self, array: NDArray[Any]) -> ov.Tensor:
        """Copy an array into a tensor of its own."""
        tensor = ov.Tensor(ov.Type(array.dtype), ov.Shape(array.shape))
        tensor.data[...] = array
        return tensor

    def run(self, graph: str, inputs: Mapping[str, ov.Tensor]) -> dict[str, ov.Tensor]:
        """Run a graph to its end; see the class on how long the result holds.

        Raises:
            InvalidRequest: no such graph or input, or the backend is closed.
            GraphFailed: OpenVINO failed, with its own words.
        """
        if graph not in self._requests:
            raise InvalidRequest(
                f"there is no graph '{graph}': expected one of {sorted(self._requests)}"
            )
        request, ports = self._requests[graph], self._ports[graph]
        try:
            for name, tensor in inputs.items():
                request.set_input_tensor(_index(ports, name, graph), tensor)
            request.infer(share_inputs=True, share_outputs=True)
            return {
                name: request.get_output_tensor(index)
                for index, port in enumerate(ports.outputs)
                for name in port.names
            }
        except _FAILURES as error:
            raise GraphFailed("openvino", graph, _words(error)) from error

    def download(self, buffer: ov.Tensor) -> NDArray[Any]:
        """Copy a buffer into a new array."""
        return np.array(buffer.data)

    def close(self) -> None:
        """Drop the requests and their models."""
        self._requests.clear()
        self._ports.clear()


def executed_precisions(compiled: ov.CompiledModel) -> dict[str, int]:
    """Count the layers by the precision they compute in, as OpenVINO states after compiling.

    Returns:
        OpenVINO's name, such as "bf16" -> number of layers.
    """
    counts: dict[str, int] = {}
    for layer in compiled.get_runtime_model().get_ops():
        facts = layer.get_rt_info()
        if "runtimePrecision" in facts:
            name = str(facts["runtimePrecision"].astype(str))
            counts[name] = counts.get(name, 0) + 1
    return counts


def _require_device(core: ov.Core, device: str) -> None:
    # A machine with several GPUs names them GPU.0, GPU.1.
    seen = [name.partition(".")[0].lower() for name in core.available_devices]
    if device not in seen:
        raise DeviceNotGranted(
            device,
            granted=sorted(set(seen)),
            by="openvino",
            install="install the driver for it, or take --device cpu",
        )


def _require_capability(core: ov.Core, device: str, precision: str) -> None:
    able = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    if PRECISIONS[precision][1] not in able:
        known = [name for name, (_, capability) in PRECISIONS.items() if capability in able]
        raise PrecisionNotGranted(
            precision,
            granted=known,
            by=f"openvino on this {device}",
            hint="it has no instructions for the one asked for",
        )


def _settings(device: str, threads: int | None, precision: str) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision][0],
    }
    if device == "CPU":
        settings["NUM_STREAMS"] = "1"
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        if saturates_int8():
            settings |= EXACT_INT8
    return settings


def _read(core: ov.Core, path: Path) -> tuple[ov.Model, Ports]:
    try:
        model = core.read_model(path)
        return model, _ports(model)
    except _FAILURES as error:
        raise InvalidRequest(f"openvino cannot load {path}: {_words(error)}") from error


def _ports(model: ov.Model) -> Ports:
    return Ports(inputs=tuple(map(_port, model.inputs)), outputs=tuple(map(_port, model.outputs)))


def _port(port: Any) -> Port:
    kind = port.get_element_type().get_type_name()
    return Port(
        names=frozenset(port.get_names()),
        dtype=_DTYPES.get(kind, kind),
        shape=tuple(
            size.get_length() if size.is_static else None for size in port.get_partial_shape()
        ),
    )


def _index(ports: Ports, name: str, graph: str) -> int:
    """Return the index of an input; compiling keeps their order, but not all of their names."""
    for index, port in enumerate(ports.inputs):
        if name in port.names:
            return index
    raise InvalidRequest(f"graph '{graph}' has no input '{name}'")


def _compile(
    core: ov.Core, model: ov.Model, path: Path, device: str, settings: dict[str, Any]
) -> ov.CompiledModel:
    inputs = {
        "onnx": [sha256_file(file) for file in (path, path.with_name(f"{path.name}.data"))
                 if file.is_file()],
        "openvino": ov.get_version(),
        "device": core.get_property(device, "FULL_DEVICE_NAME"),
        "settings": settings,
    }  # fmt: skip
    key = hashlib.sha256(canonical_json(inputs)).hexdigest()
    folder = cache_folder() / "openvino" / key
    try:
        return core.compile_model(model, device, {**settings, "CACHE_DIR": str(folder)})
    except _FAILURES as error:
        raise InvalidRequest(f"openvino cannot load {path}: {_words(error)}") from error


def _require_taken(compiled: ov.CompiledModel, precision: str, device: str) -> None:
    """Check the precision that OpenVINO will compute in: it changes it without a message."""
    wanted = PRECISIONS[precision][0]
    taken = str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
    layers = executed_precisions(compiled) if device == "CPU" else {}
    lower = set(layers) & {"f16", "bf16"}
    if taken != wanted or (wanted == "f32" and lower):
        names = {value[0]: name for name, value in PRECISIONS.items()}
        found = sorted(lower) if taken == wanted else [taken]
        raise PrecisionNotGranted(
            precision,
            granted=[names.get(name, name) for name in found],
            by=f"openvino on this {device}",
            hint="it took that one instead; ask for it by name",
        )


def _words(error: Exception) -> str:
    return " ".join(str(error).split())
