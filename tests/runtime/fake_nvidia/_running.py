"""Fakes of what runs and refits an engine, computed by ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort

from ._building import MAGIC, FakeTensor
from ._names import FakeEnum

if TYPE_CHECKING:
    from ._tensorrt import FakeTensorRt

NUMPY = {"FLOAT": np.float32, "INT32": np.int32, "INT64": np.int64, "BOOL": np.bool_,
         "HALF": np.float16}  # fmt: skip


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
                dtype = np.dtype(NUMPY[self._engine._both[name].dtype.name])
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
