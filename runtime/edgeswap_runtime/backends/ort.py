"""Run graphs with ONNX Runtime, on the CPU or an NVIDIA GPU."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from edgeswap_runtime.backends._graph_check import Port, Ports, require_fit
from edgeswap_runtime.backends.instructions import saturates_int8
from edgeswap_runtime.backends.memory import given_back
from edgeswap_runtime.backends.threads import require_threads, usable_cores
from edgeswap_runtime.errors import (
    DeviceNotGranted,
    GraphFailed,
    InvalidRequest,
    PrecisionNotGranted,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeswap_runtime.backends.protocol import BackendRequest

_CUDA = (
    "CUDAExecutionProvider",
    # Exhaustive search picks kernels by timing them, so that two runs may differ in the last bit.
    {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"},
)
PROVIDERS: dict[str, tuple[str | tuple[str, dict[str, str]], ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": (_CUDA, "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", _CUDA, "CPUExecutionProvider"),
}
"""Device -> execution providers, the one that must be granted first."""

LARGE_BYTES = 1 << 25
"""Size of a graph above which memory goes back to the system at every run. Below, each graph keeps
what it once took, which saves time; graphs of large models would keep several GB each."""

_INSTALL = {
    "cpu": "python -m pip install --force-reinstall onnxruntime",
    "cuda": "it needs an NVIDIA driver and onnxruntime-gpu in place of onnxruntime "
    "(python -m pip uninstall onnxruntime; python -m pip install onnxruntime-gpu); "
    "edgeswap doctor tells what is there",
    "tensorrt": "it needs an NVIDIA driver, TensorRT and onnxruntime-gpu in place of onnxruntime; "
    "edgeswap doctor tells what is there",
}

_ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    UnicodeDecodeError,  # a damaged graph whose names, or the words about them, are no text
    *(e for e in vars(ort_errors).values() if isinstance(e, type) and issubclass(e, Exception)),
)
"""Everything that this version of ONNX Runtime raises; there is no common base."""

_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64"} | {
    f"tensor({name})": name
    for name in ("float16", "bool", *(f"{s}int{b}" for s in ("", "u") for b in (8, 16, 32, 64)))
}


def open_ort(request: BackendRequest) -> OrtBackend:
    """Open the ONNX Runtime backend; the function that the table of backends names.

    Raises:
        PrecisionNotGranted: one was asked for; ONNX Runtime computes as the graphs state.
        BadBundle: a graph is not what the bundle's manifest states.
    """
    if request.precision is not None:
        raise PrecisionNotGranted(
            request.precision,
            granted=["the graphs' own"],
            by="onnxruntime",
            hint="leave it out, or export the graphs so: edgeswap export --precision",
        )
    backend = OrtBackend(request.graphs, device=request.device, threads=request.threads)
    if request.bundle is not None:
        require_fit(request.bundle, backend.ports())
    return backend


class OrtBackend:
    """Holds one ONNX Runtime session per graph, and the buffers between them.

    Tensors stay where the device is: each graph's inputs and outputs are bound as OrtValues, so
    nothing is copied between `encode`, `denoise` and `decode`. **Output buffers are allocated
    once per input shape and reused: a graph's next run overwrites what its last run returned.**
    With the same inputs, device, thread count and version it gives the same bytes.

    Args:
        graphs: graph name -> ONNX file.
        device: "cpu", "cuda" or "tensorrt".
        threads: CPU threads per graph; as many as the process may use cores when None.
        spinning: threads that wait for work keep turning instead of sleeping. Beside other
            work that made a swap take about twice as long, and its least time was no shorter:
            `benchmarks/studies/spinning.py`.

    Raises:
        DeviceNotGranted: the device's execution provider is absent or was not taken.
        InvalidRequest: no such device, no such number of threads, or a graph that does not load.
    """

    def __init__(
        self,
        graphs: Mapping[str, Path],
        *,
        device: str = "cpu",
        threads: int | None = None,
        spinning: bool = False,
    ) -> None:
        if device not in PROVIDERS:
            raise InvalidRequest(
                f"backend 'ort' has no device '{device}': expected one of {', '.join(PROVIDERS)}"
            )
        threads = require_threads(threads)
        self.lock = threading.RLock()
        self._location = "cpu" if device == "cpu" else "cuda"
        _require_provider(device, ort.get_available_providers())
        options = _session_options(device, threads, spinning=spinning)
        with given_back():
            self._sessions = {
                name: _open_session(path, device, options) for name, path in graphs.items()
            }
        self._bindings: dict[str, _Binding] = {}

    def ports(self) -> dict[str, Ports]:
        """Return every graph's inputs and outputs, as ONNX Runtime states them."""
        return {name: _ports(name, session) for name, session in self._sessions.items()}

    def upload(self, array: NDArray[Any]) -> ort.OrtValue:
        """Copy an array to the device."""
        # On the CPU an OrtValue would share the array's memory: copy, so that it is ours.
        owned = np.array(array, order="C") if self._location == "cpu" else array
        return ort.OrtValue.ortvalue_from_numpy(owned, self._location, 0)

    def run(self, graph: str, inputs: Mapping[str, ort.OrtValue]) -> dict[str, ort.OrtValue]:
        """Run a graph to its end; see the class on how long the result holds.

        Raises:
            InvalidRequest: no such graph, or the backend is closed.
            GraphFailed: ONNX Runtime failed, with its own words.
        """
        if graph not in self._sessions:
            raise InvalidRequest(
                f"there is no graph '{graph}': expected one of {sorted(self._sessions)}"
            )
        shapes = {name: tuple(value.shape()) for name, value in inputs.items()}
        binding = self._bindings.get(graph)
        if binding is None or binding.shapes != shapes:
            binding = _Binding(self._sessions[graph], shapes, self._location)
            self._bindings[graph] = binding
        try:
            return binding.run(inputs)
        except _ORT_ERRORS as error:
            words = " ".join(str(error).split())
            raise GraphFailed("onnxruntime", graph, words) from error

    def download(self, buffer: ort.OrtValue) -> NDArray[Any]:
        """Copy a buffer into a new array."""
        return np.array(buffer.numpy())

    def close(self) -> None:
        """Drop the sessions and buffers."""
        self._bindings.clear()
        self._sessions.clear()


class _Binding:
    """One graph bound to its buffers, for one set of input shapes."""

    def __init__(
        self,
        session: ort.InferenceSession,
        shapes: dict[str, tuple[int, ...]],
        location: str,
    ) -> None:
        self.shapes = shapes
        self._session = session
        self._binding = session.io_binding()
        self._names = [output.name for output in session.get_outputs()]
        self._outputs: dict[str, ort.OrtValue] | None = None
        for name in self._names:
            self._binding.bind_output(name, location, 0)

    def run(self, inputs: Mapping[str, ort.OrtValue]) -> dict[str, ort.OrtValue]:
        for name, value in inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        if self._outputs is None:
            # The first run let ONNX Runtime allocate, which also settles dynamic axes; from now on
            # it writes into the same memory.
            self._outputs = dict(zip(self._names, self._binding.get_outputs(), strict=True))
            for name, value in self._outputs.items():
                self._binding.bind_ortvalue_output(name, value)
        return dict(self._outputs)


def compute_int8_exactly(options: ort.SessionOptions) -> None:
    """Have a session compute INT8 products that do not saturate.

    The fast instruction of x86 processors without VNNI adds two products in 16 bits, and results
    are five times as wrong; the setting takes a slower one. Processors with VNNI are exact in any
    case, and the setting makes a U-Net in int8 nearly as slow as in float32 there.
    """
    if saturates_int8():
        options.add_session_config_entry("session.x64quantprecision", "1")


def _session_options(
    device: str, threads: int | None, *, spinning: bool = False
) -> ort.SessionOptions:
    options = ort.SessionOptions()
    # What fails is raised, with the same words; why a GPU was not granted is told in the log alone.
    options.log_severity_level = 4 if device == "cpu" else 3
    options.use_deterministic_compute = True
    options.inter_op_num_threads = 1
    compute_int8_exactly(options)
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    # Each session has threads of its own: those that go on turning after a run would take the
    # cores from the next graph's.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Said outright: where ONNX Runtime chooses, it also pins its threads to cores, and a busy core
    # then holds up the whole graph.
    options.intra_op_num_threads = usable_cores() if threads is None else threads
    return options


def _ports(name: str, session: ort.InferenceSession) -> Ports:
    try:
        return Ports(
            inputs=tuple(map(_port, session.get_inputs())),
            outputs=tuple(map(_port, session.get_outputs())),
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"graph '{name}' names its tensors by no text: {error}") from error


def _port(node: Any) -> Port:
    return Port(
        names=frozenset({node.name}),
        dtype=_DTYPES.get(node.type, node.type),
        shape=tuple(size if isinstance(size, int) else None for size in node.shape),
    )


def _open_session(path: Path, device: str, options: ort.SessionOptions) -> ort.InferenceSession:
    options.enable_cpu_mem_arena = _bytes_of(path) <= LARGE_BYTES
    try:
        session = ort.InferenceSession(str(path), options, providers=list(PROVIDERS[device]))
    except _ORT_ERRORS as error:
        words = " ".join(str(error).split())
        raise InvalidRequest(f"onnxruntime cannot load {path}: {words}") from error
    # A provider that fails to start is dropped with a log line only: read back what was granted.
    _require_provider(device, session.get_providers()[:1])
    return session


def _bytes_of(path: Path) -> int:
    """Size of a graph's file, and of its weights beside it."""
    files = (path, path.with_name(f"{path.name}.data"))
    return sum(file.stat().st_size for file in files if file.is_file())


def _require_provider(device: str, offered: Sequence[str]) -> None:
    wanted = PROVIDERS[device][0]
    name = wanted if isinstance(wanted, str) else wanted[0]
    if name not in offered:
        raise DeviceNotGranted(device, granted=offered, install=_INSTALL[device])
