"""The real bindings' names and signatures, and classes that take nothing else."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES: dict[str, Any] = json.loads(
    Path(__file__).parents[1].joinpath("tensorrt_names.json").read_text()
)
FAKED = frozenset(
    {"Builder", "OnnxParser", "OnnxParserRefitter", "ParserError", "Refitter", "Runtime"}
)
"""Classes that are faked and whose names do not begin with I."""


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


def parameters(text: str) -> list[tuple[str, str, bool]]:
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
    declared = parameters(signature)
    shape = inspect.Signature(
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None if optional else inspect.Parameter.empty,
        )
        for name, _, optional in declared
    )
    try:
        bound = shape.bind(*args, **kwargs).arguments
    except TypeError:
        return False
    kinds = {name: kind for name, kind, _ in declared}
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
    return kind in names if kind and (kind[0] == "I" or kind in FAKED) else True


def strict_class(label: str, name: str, members: dict[str, Any], fake: type) -> type:
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


def enumeration(label: str, name: str, constants: list[str]) -> Any:
    members = {c: FakeEnum(name, c, index) for index, c in enumerate(constants)}

    def missing(self: Any, attribute: str) -> Any:
        raise AttributeError(f"{label}: {name} has no '{attribute}'")

    return type(name, (), {**members, "__getattr__": missing})()
