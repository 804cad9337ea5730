"""Fakes of what builds an engine: networks, parsers, configs and the builder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from ._names import FakeEnum

if TYPE_CHECKING:
    from ._tensorrt import FakeTensorRt

MAGIC = b"FAKE PLAN\n"
_TYPES = {1: "FLOAT", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "HALF"}


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
