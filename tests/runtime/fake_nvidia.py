"""A fake CUDA and a fake TensorRT, with the real ones' names and signatures and nothing else.

`tensorrt_names.json` was read from the real bindings by scripts/tensorrt_names.py. Every attribute
that is not in the chosen version, and every call that fits none of its signatures, fails here as it
would there. What the fakes *do* is invented: a "plan" is the ONNX file with a note in front, and is
computed by ONNX Runtime. So a test with them checks names, the order of calls, memory and shapes;
it says nothing about TensorRT's numbers or speed.

CUDA's fake is strict about time: what is enqueued on a stream happens when somebody waits for it.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

NAMES: dict[str, Any] = json.loads(Path(__file__).with_name("tensorrt_names.json").read_text())
MAGIC = b"FAKE PLAN\n"
_TYPES = {1: "FLOAT", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "HALF"}
_NUMPY = {"FLOAT": np.float32, "INT32": np.int32, "INT64": np.int64, "BOOL": np.bool_,
          "HALF": np.float16}  # fmt: skip


class FakeEnum:
    """A member of one of the bindings' enumerations."""

    def __init__(self, owner: str, name: str, index: int) -> None:
        self.owner, self.name, self._index = owner, name, index

    def __int__(self) -> int:
        return self._index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FakeEnum) and (other.owner, other.name) == (self.owner, self.name)

    def __hash__(self) -> int:
        return hash((self.owner, self.name))


def _parameters(text: str) -> list[tuple[str, str, bool]]:
    """Of "name(self: A, x: int = 0) -> B": (name, type, has a default) of each but self."""
    inside = text[text.index("(") + 1 : text.rindex(") ->") if ") ->" in text else -1]
    parts = re.split(r",\s*(?![^\[(<]*[\])>])", inside)
    found = []
    for part in (part.strip() for part in parts):
        declared, _, default = part.partition(" = ")
        name, _, kind = declared.partition(":")
        if name and name != "self":
            found.append((name.strip().split(" ")[-1], kind.strip(), bool(default)))
    return found


def _fits(signature: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    parameters = _parameters(signature)
    shape = inspect.Signature(
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None if optional else inspect.Parameter.empty,
        )
        for name, _, optional in parameters
    )
    try:
        bound = shape.bind(*args, **kwargs).arguments
    except TypeError:
        return False
    kinds = {name: kind for name, kind, _ in parameters}
    return all(_is_a(value, kinds[name]) for name, value in bound.items())


def _is_a(value: Any, kind: str) -> bool:
    """Whether pybind11 would take the value; types it names that are not ours to check pass."""
    if kind in ("int", "SupportsInt"):
        return hasattr(value, "__int__") and not isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "str":
        return isinstance(value, str)
    if kind in ("buffer", "Buffer", "bytes"):
        return isinstance(value, bytes | bytearray | memoryview)
    if kind == "Dims":
        return isinstance(value, list | tuple)
    if isinstance(value, FakeEnum):
        return value.owner == kind
    names = {base.__name__ for base in type(value).__mro__}
    return kind in names if kind and (kind[0] == "I" or kind in FAKES) else True


def _strict(label: str, name: str, members: dict[str, Any], fake: type) -> type:
    """The fake's class with the real class's members: any other name, or wrong call, raises."""

    def check(attribute: str) -> None:
        if not attribute.startswith("_") and attribute not in members:
            raise AttributeError(f"{label}: {name} has no '{attribute}'")

    def get(self: Any, attribute: str) -> Any:
        subclassed = attribute in vars(type(self)) and type(self) is not strict
        if not subclassed and attribute not in _own(self):
            check(attribute)
        value = object.__getattribute__(self, attribute)
        if attribute.startswith("_") or subclassed or not isinstance(members.get(attribute), list):
            return value
        return _checked_call(f"{label}: {name}.{attribute}", members[attribute], value)

    def put(self: Any, attribute: str, value: Any) -> None:
        if type(self) is strict:
            check(attribute)
        object.__setattr__(self, attribute, value)

    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self) is strict or not args:
            _checked_call(f"{label}: {name}()", members["__init__"], lambda *a, **k: None)(
                *args, **kwargs
            )
        fake.__init__(self, *args, **kwargs)  # type: ignore[misc]

    body: dict[str, Any] = {"__getattribute__": get, "__setattr__": put, "_label": label}
    if members.get("__init__"):
        body["__init__"] = construct
    strict = type(name, (fake,), body)
    return strict


def _own(value: Any) -> dict[str, Any]:
    """Attributes that a subclass of ours, such as a logger, has set on itself."""
    own: dict[str, Any] = object.__getattribute__(value, "__dict__")
    return own if type(value).__module__.startswith("edgeswap") else {}


def _checked_call(where: str, signatures: list[str], call: Callable[..., Any]) -> Any:
    def checked(*args: Any, **kwargs: Any) -> Any:
        if signatures and not any(_fits(line, args, kwargs) for line in signatures):
            raise TypeError(f"{where}: {args} {kwargs} fit none of {signatures}")
        return call(*args, **kwargs)

    return checked


class FakeTensorRt:
    """The module `tensorrt` or `tensorrt_rtx` of one version.

    Args:
        label: such as "tensorrt 10.3.0", a key of NAMES.
        cuda: the fake CUDA its engines run on; None where there is no driver.

    Attributes:
        refuses: what the builder logs before it gives no plan; None lets it build.
    """

    def __init__(self, label: str, cuda: FakeCuda | None = None) -> None:
        facts = NAMES[label]
        self.__name__ = label.partition(" ")[0]
        self.__version__ = facts["version"]
        self.refuses: str | None = None
        self.built: list[Any] = []
        self.contexts: list[Any] = []
        self._cuda = cuda
        for name, members in facts["classes"].items():
            fake = FAKES.get(name)
            if "." in name:
                continue
            if fake is None:
                constants = [m for m in members if m.isupper() or m.startswith("SM")]
                self._set(name, _enumeration(label, name, constants))
            else:
                strict = _strict(label, name, members, fake)
                strict._trt = self  # type: ignore[attr-defined]
                self._set(name, strict)
        severities = facts["classes"]["ILogger.Severity"]
        logger: Any = self.ILogger
        logger.Severity = _enumeration(label, "Severity", [m for m in severities if m.isupper()])

    def _set(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"{self.__name__} {self.__version__} has no '{name}'")

    def nptype(self, kind: FakeEnum) -> Any:
        """As the bindings do."""
        return _NUMPY[kind.name]


def _enumeration(label: str, name: str, constants: list[str]) -> Any:
    members = {c: FakeEnum(name, c, index) for index, c in enumerate(constants)}

    def missing(self: Any, attribute: str) -> Any:
        raise AttributeError(f"{label}: {name} has no '{attribute}'")

    return type(name, (), {**members, "__getattr__": missing})()


class FakeLogger:
    def __init__(self) -> None:
        pass

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


class FakeMonitor:
    def __init__(self) -> None:
        pass


class FakeTensor:
    def __init__(self, trt: FakeTensorRt, info: Any) -> None:
        self._name = info.name
        kind = info.type.tensor_type
        self._dtype = getattr(trt.DataType, _TYPES[kind.elem_type])
        self._shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)

    name = property(lambda self: self._name)
    dtype = property(lambda self: self._dtype)
    shape = property(lambda self: self._shape)


class FakeNetwork:
    def __init__(self, trt: FakeTensorRt, flags: int) -> None:
        self._made_by = trt
        self._typed = bool(flags >> int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) & 1)
        self._model: Any = None
        self._file = b""

    num_layers = property(lambda self: len(self._model.graph.node))
    num_inputs = property(lambda self: len(self._model.graph.input))
    num_outputs = property(lambda self: len(self._model.graph.output))

    def get_input(self, index: int) -> Any:
        return self._made_by.ITensor(self._made_by, self._model.graph.input[index])

    def get_output(self, index: int) -> Any:
        return self._made_by.ITensor(self._made_by, self._model.graph.output[index])


class FakeParserError:
    def __init__(self, words: str) -> None:
        self._words = words

    def desc(self) -> str:
        return self._words

    def node(self) -> int:
        return 7

    def node_operator(self) -> str:
        return "Conv"

    def node_name(self) -> str:
        return "first"


class FakeParser:
    _trt: FakeTensorRt

    def __init__(self, network: Any, logger: Any) -> None:
        self._network = network
        self._error: str | None = None

    def parse_from_file(self, model: str) -> bool:
        try:
            self._network._model = onnx.load(model)
            self._network._file = Path(model).read_bytes()
        except Exception as error:  # noqa: BLE001  protobuf's own
            self._error = f"no ONNX: {error}"
        return self._error is None

    num_errors = property(lambda self: 0 if self._error is None else 1)

    def get_error(self, index: int) -> Any:
        return self._trt.ParserError(self._error)


class FakeProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, Any] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
        self._shapes[input] = [list(min), list(opt), list(max)]


class FakeTimingCache:
    def __init__(self, kept: bytes) -> None:
        self._kept = kept

    def serialize(self) -> Any:
        return self._kept + b"timed;"


class FakeConfig:
    _trt: FakeTensorRt

    def __init__(self) -> None:
        self._facts: dict[str, Any] = {"flags": [], "pools": {}, "profiles": [], "targets": {}}
        self.progress_monitor: Any = None
        self._timing: Any = None

    def set_flag(self, flag: FakeEnum) -> None:
        self._facts["flags"].append(flag.name)

    def clear_flag(self, flag: FakeEnum) -> None:
        self._facts["cleared"] = flag.name

    def set_memory_pool_limit(self, pool: FakeEnum, pool_size: int) -> None:
        self._facts["pools"][pool.name] = pool_size

    def set_compute_capability(self, compute_capability: FakeEnum, index: int) -> bool:
        self._facts["targets"][index] = compute_capability.name
        return True

    def add_optimization_profile(self, profile: Any) -> int:
        self._facts["profiles"].append(profile._shapes)
        return len(self._facts["profiles"]) - 1

    def create_timing_cache(self, serialized_timing_cache: Any) -> Any:
        return self._trt.ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        if cache._kept.startswith(b"another GPU"):
            return False
        self._timing = cache
        return True

    def get_timing_cache(self) -> Any:
        return self._timing


class FakeBuilder:
    _trt: FakeTensorRt

    def __init__(self, logger: Any) -> None:
        self._log = logger

    def create_network(self, flags: int = 0) -> Any:
        return self._trt.INetworkDefinition(self._trt, flags)

    def create_builder_config(self) -> Any:
        return self._trt.IBuilderConfig()

    def create_optimization_profile(self) -> Any:
        return self._trt.IOptimizationProfile()

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        severity = self._trt.ILogger.Severity
        self._log.log(severity.WARNING, "a kernel was\n slow")
        if self._trt.refuses is not None:
            self._log.log(severity.ERROR, self._trt.refuses)
            return None
        monitor = config.progress_monitor
        if monitor is not None:
            monitor.phase_start("Building", None, 2)
            monitor.phase_start("Timing", "Building", 9)
            monitor.phase_start("Deeper", "Timing", 9)
            assert monitor.step_complete("Building", 0)
            for phase in ("Deeper", "Timing", "Building"):
                monitor.phase_finish(phase)
        facts = dict(config._facts, typed=network._typed)
        for setting in ("hardware_compatibility_level", "builder_optimization_level"):
            value = vars(config).get(setting)
            facts[setting] = value.name if isinstance(value, FakeEnum) else value
        self._trt.built.append(facts)
        return memoryview(MAGIC + json.dumps(facts).encode() + b"\n" + network._file)


class FakeRuntime:
    _trt: FakeTensorRt

    def __init__(self, logger: Any) -> None:
        assert self._trt._cuda is not None, "a Runtime without a driver: the real one may crash"
        self._log = logger

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Any:
        data = bytes(serialized_engine)
        if not data.startswith(MAGIC):
            self._log.log(self._trt.ILogger.Severity.ERROR, "magic tag does not match")
            return None
        facts, _, model = data[len(MAGIC) :].partition(b"\n")
        return self._trt.ICudaEngine(self._trt, json.loads(facts), model)


class FakeEngine:
    def __init__(self, trt: FakeTensorRt, facts: dict[str, Any], model: bytes) -> None:
        self._made_by, self._facts, self._model = trt, facts, model
        graph = onnx.load_from_string(model).graph
        self._ins = {t.name: FakeTensor(trt, t) for t in graph.input}
        self._outs = {t.name: FakeTensor(trt, t) for t in graph.output}
        self._both = {**self._ins, **self._outs}
        self._order = [*self._ins, *self._outs]

    num_io_tensors = property(lambda self: len(self._order))
    device_memory_size_v2 = property(lambda self: 1000 + 8 * len(self._order))
    refittable = property(lambda self: "REFIT" in self._facts["flags"])

    def get_tensor_name(self, index: int) -> str:
        return self._order[index]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._made_by.TensorIOMode
        return modes.INPUT if name in self._ins else modes.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return self._both[name].dtype

    def get_tensor_shape(self, name: str) -> Any:
        return self._both[name].shape

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> Any:
        return self._facts["profiles"][profile_index][name]

    def create_runtime_config(self) -> Any:
        return self._made_by.IRuntimeConfig()

    def create_execution_context(self, how: Any) -> Any:
        context = self._made_by.IExecutionContext(self._made_by, self, how)
        self._made_by.contexts.append(context)
        return context

    def serialize(self) -> Any:
        return memoryview(MAGIC + json.dumps(self._facts).encode() + b"\n" + self._model)


class FakeRuntimeCache:
    def __init__(self) -> None:
        self._data = b""

    def deserialize(self, data: Any) -> bool:
        self._data = bytes(data)
        return True

    def serialize(self) -> Any:
        return self._data if self._data.endswith(b"compiled;") else self._data + b"compiled;"


class FakeRuntimeConfig:
    _trt: FakeTensorRt

    def __init__(self) -> None:
        self._allocation: Any = None
        self._cache: Any = None
        self.cuda_graph_strategy: Any = None

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self._allocation = strategy

    def create_runtime_cache(self) -> Any:
        return self._trt.IRuntimeCache()

    def set_runtime_cache(self, cache: Any) -> bool:
        self._cache = cache
        return True


class FakeContext:
    def __init__(self, trt: FakeTensorRt, engine: Any, how: Any) -> None:
        self._made_by, self._engine = trt, engine
        allocation = how if isinstance(how, FakeEnum) else how._allocation
        assert allocation == trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._places: dict[str, int] = {}
        self._scratch = 0
        self._session = ort.InferenceSession(engine._model, providers=["CPUExecutionProvider"])

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size >= self._engine._both.__len__() * 8 + 1000
        self._made_by._cuda.require(memory, size)  # type: ignore[union-attr]
        self._scratch = memory

    def set_input_shape(self, name: str, shape: Any) -> bool:
        self._shapes[name] = tuple(shape)
        return True

    def infer_shapes(self) -> list[str]:
        return [name for name in self._engine._ins if name not in self._shapes]

    def get_tensor_shape(self, name: str) -> Any:
        stated = self._engine._both[name].shape
        free = next((s[0] for n, s in self._shapes.items() if -1 in self._engine._both[n].shape), 1)
        return tuple(free if size == -1 else size for size in stated)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._places[name] = memory
        return name in self._engine._both

    def execute_async_v3(self, stream_handle: int) -> bool:
        cuda = self._made_by._cuda
        assert cuda is not None and self._scratch
        places, shapes = dict(self._places), dict(self._shapes)

        def compute() -> None:
            def view(name: str, shape: tuple[int, ...]) -> Any:
                dtype = np.dtype(_NUMPY[self._engine._both[name].dtype.name])
                count = int(np.prod(shape)) * dtype.itemsize
                return cuda.array(places[name], count).view(dtype).reshape(shape)

            inputs = {name: view(name, shape) for name, shape in shapes.items()}
            names = list(self._engine._outs)
            for name, value in zip(names, self._session.run(names, inputs), strict=True):
                view(name, value.shape)[...] = value

        cuda.enqueue(stream_handle, "compute", compute)
        return True


class FakeRefitter:
    _trt: FakeTensorRt

    def __init__(self, engine: Any, logger: Any) -> None:
        self._engine, self._pending = engine, b""

    def get_missing_weights(self) -> list[str]:
        return []

    def refit_cuda_engine(self) -> bool:
        self._engine._model = self._pending
        return True


class FakeParserRefitter:
    _trt: FakeTensorRt

    def __init__(self, refitter: Any, logger: Any) -> None:
        self._refitter = refitter

    num_errors = property(lambda self: 1)

    def get_error(self, index: int) -> Any:
        return self._trt.ParserError("a weight has another shape")

    def refit_from_file(self, model: str) -> bool:
        new = Path(model).read_bytes()
        old, given = (onnx.load_from_string(m).graph.initializer
                      for m in (self._refitter._engine._model, new))  # fmt: skip
        self._refitter._pending = new
        return [w.dims for w in old] == [w.dims for w in given]


FAKES: dict[str, type] = {
    "Builder": FakeBuilder,
    "IBuilderConfig": FakeConfig,
    "ICudaEngine": FakeEngine,
    "IExecutionContext": FakeContext,
    "ILogger": FakeLogger,
    "INetworkDefinition": FakeNetwork,
    "IOptimizationProfile": FakeProfile,
    "IProgressMonitor": FakeMonitor,
    "IRuntimeCache": FakeRuntimeCache,
    "IRuntimeConfig": FakeRuntimeConfig,
    "ITensor": FakeTensor,
    "ITimingCache": FakeTimingCache,
    "OnnxParser": FakeParser,
    "OnnxParserRefitter": FakeParserRefitter,
    "ParserError": FakeParserError,
    "Refitter": FakeRefitter,
    "Runtime": FakeRuntime,
}


@dataclass
class FakeProperties:
    """What CUDA says of the fake device."""

    name: bytes = b"Fake GPU\0\0"
    major: int = 8
    minor: int = 6
    totalGlobalMem: int = 8 << 30  # noqa: N815  CUDA's own name
    integrated: int = 0


@dataclass
class FakeStream:
    """Work that waits; `captured` while it is being recorded instead."""

    waiting: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    captured: list[tuple[str, Callable[[], None]]] | None = None


class FakeCuda:
    """The module `cuda.bindings.runtime`, on the CPU's memory.

    Args:
        label: "cuda 12.9" or "cuda 13"; other versions' names and argument counts are refused.
        properties: of its one device.

    Attributes:
        log: kind of each thing done, in order: "copy", "compute", "launch".
        held: address -> memory that was not freed yet.
    """

    cudaStreamNonBlocking = 1  # noqa: N815

    def __init__(self, label: str = "cuda 13", properties: FakeProperties | None = None) -> None:
        self._names = NAMES[label]["names"]
        self.cudaError_t = _enumeration(
            label, "cudaError_t",
            ["cudaSuccess", "cudaErrorMemoryAllocation", "cudaErrorNoDevice"],
        )  # fmt: skip
        kinds = [f"cudaMemcpy{way}" for way in ("HostToDevice", "DeviceToHost", "DeviceToDevice")]
        self.cudaMemcpyKind = _enumeration(label, "cudaMemcpyKind", kinds)
        self.cudaStreamCaptureMode = _enumeration(
            label, "cudaStreamCaptureMode", ["cudaStreamCaptureModeThreadLocal"]
        )
        self.properties = properties or FakeProperties()
        self.devices = 1
        self.log: list[str] = []
        self.held: dict[int, Any] = {}
        self.streams: dict[int, FakeStream] = {}
        self.graphs: dict[int, Any] = {}
        self.fails: str | None = None

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if not re.match(r"cuda[A-Z]\w+$", name) or not inspect.ismethod(value):
            return value
        signatures = self._names[name]  # KeyError: there is no such function

        def call(*args: Any) -> Any:
            if signatures and len(_parameters(signatures[0])) != len(args):
                raise TypeError(f"{name}: {len(args)} arguments do not fit {signatures[0]}")
            if self.fails == name:
                if name == "cudaStreamEndCapture":  # it ends, whatever became of the recording
                    value(*args)
                return (self.cudaError_t.cudaErrorMemoryAllocation, None)
            found = value(*args)
            return (self.cudaError_t.cudaSuccess, *(() if found is None else (found,)))

        return call

    def require(self, address: int, count: int) -> None:
        """Fail unless the memory lies within what was allocated."""
        for start, block in self.held.items():
            if start <= address and address + count <= start + len(block):
                return
        raise AssertionError(f"{count} bytes at {address} are not allocated on the device")

    def array(self, address: int, count: int) -> Any:
        """Device memory as numpy sees it."""
        self.require(address, count)
        return np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(address))

    def enqueue(self, stream: int, kind: str, work: Callable[[], None]) -> None:
        """Put work on a stream, or into the recording that is being made of it."""
        held = self.streams[stream]
        queue = held.waiting if held.captured is None else held.captured
        queue.append((kind, work))

    def cudaGetDeviceCount(self) -> int:  # noqa: N802
        return self.devices

    def cudaDriverGetVersion(self) -> int:  # noqa: N802
        return 13000

    def cudaGetDeviceProperties(self, device: int) -> FakeProperties:  # noqa: N802
        return self.properties

    def cudaSetDevice(self, device: int) -> None:  # noqa: N802
        assert device == 0

    def cudaMalloc(self, size: int) -> int:  # noqa: N802
        assert size > 0
        block = (ctypes.c_uint8 * size)(*([0xAB] * min(size, 64)))
        self.held[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def cudaFree(self, address: int) -> None:  # noqa: N802
        del self.held[address]

    def cudaMemcpyAsync(self, to: int, source: int, count: int, kind: Any, stream: Any) -> None:  # noqa: N802
        if kind.name != "cudaMemcpyDeviceToHost":
            self.require(to, count)
        if kind.name != "cudaMemcpyHostToDevice":
            self.require(source, count)
        self.enqueue(int(stream), "copy", lambda: ctypes.memmove(to, source, count) and None)

    def cudaStreamCreateWithFlags(self, flags: int) -> int:  # noqa: N802
        self.streams[len(self.streams) + 77] = FakeStream()
        return len(self.streams) + 76

    def cudaStreamSynchronize(self, stream: int) -> None:  # noqa: N802
        held = self.streams[stream]
        assert held.captured is None, "a stream that records cannot be waited for"
        while held.waiting:
            kind, work = held.waiting.pop(0)
            self.log.append(kind)
            work()

    def cudaStreamDestroy(self, stream: int) -> None:  # noqa: N802
        assert not self.streams.pop(stream).waiting

    def cudaStreamBeginCapture(self, stream: int, mode: Any) -> None:  # noqa: N802
        self.streams[stream].captured = []

    def cudaStreamEndCapture(self, stream: int) -> int:  # noqa: N802
        recorded, self.streams[stream].captured = self.streams[stream].captured, None
        self.graphs[len(self.graphs) + 1000] = recorded
        return len(self.graphs) + 999

    def cudaGraphInstantiate(self, graph: int, flags: int) -> Any:  # noqa: N802
        return self.graphs[graph]

    def cudaGraphDestroy(self, graph: int) -> None:  # noqa: N802
        self.graphs[graph] = None

    def cudaGraphLaunch(self, executable: Any, stream: int) -> None:  # noqa: N802
        def launch() -> None:
            for _, work in executable:
                work()

        self.enqueue(stream, "launch", launch)

    def cudaGraphExecDestroy(self, executable: Any) -> None:  # noqa: N802
        pass
