"""The fake module `tensorrt` or `tensorrt_rtx` of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._building import (
    FakeBuilder,
    FakeConfig,
    FakeLogger,
    FakeMonitor,
    FakeNetwork,
    FakeParser,
    FakeParserError,
    FakeProfile,
    FakeTensor,
    FakeTimingCache,
)
from ._names import FAKED, NAMES, FakeEnum, enumeration, strict_class
from ._running import (
    NUMPY,
    FakeContext,
    FakeEngine,
    FakeParserRefitter,
    FakeRefitter,
    FakeRuntime,
    FakeRuntimeCache,
    FakeRuntimeConfig,
)

if TYPE_CHECKING:
    from ._cuda import FakeCuda

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
assert {name for name in FAKES if not name.startswith("I")} == FAKED


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
                self._set(name, enumeration(label, name, constants))
            else:
                strict = strict_class(label, name, members, fake)
                strict._trt = self  # type: ignore[attr-defined]
                self._set(name, strict)
        severities = facts["classes"]["ILogger.Severity"]
        logger: Any = self.ILogger
        logger.Severity = enumeration(label, "Severity", [m for m in severities if m.isupper()])

    def _set(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"{self.__name__} {self.__version__} has no '{name}'")

    def nptype(self, kind: FakeEnum) -> Any:
        """As the bindings do."""
        return NUMPY[kind.name]
