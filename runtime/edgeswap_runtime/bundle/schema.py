"""Turn JSON into frozen dataclasses and back: no missing, unknown or wrong fields.

A field states its bounds in its annotation, such as `Annotated[int, Range(1, 4096)]`, and `decode`
checks them. A field that states none has those of `DEFAULTS`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, both included."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Size:
    """Bounds of how many items a list or object, or characters a string, may have."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that a whole string must match, and words for it."""

    expression: str
    words: str


Bound = Range | Size | Pattern

DEFAULTS: dict[type, Bound] = {
    int: Range(-(2**63), 2**63 - 1),
    float: Range(-1e30, 1e30),
    str: Size(0, 10_000),
    list: Size(0, 100_000),
    tuple: Size(0, 100_000),
    dict: Size(0, 100_000),
}
"""Bounds of fields that state none."""


class SchemaError(ValueError):
    """A JSON value does not have the form its dataclass states; the message names the place."""

    def __init__(self, message: str) -> None:
        super().__init__(message if len(message) <= 500 else f"{message[:500]}...")


class _OutOfBounds(SchemaError):
    """A value of the right type outside its bounds."""


def decode(kind: type[T], value: Any, where: str) -> T:
    """Turn a JSON value into an annotated type.

    Args:
        kind: a dataclass, str, bool, int, float, `tuple[X, ...]`, `tuple[X, Y]`, `list[X]`,
            `dict[str, X]`, `X | None` or Any, nested at will; `Annotated[X, bound]` of any of
            them, with a `Range`, `Size` or `Pattern`. Of a union of dataclasses that all have a
            field `kind`, the value's `kind` chooses one by that field's default.
        value: from `parse_json`.
        where: how to call the value in messages, such as "graphs.encode".

    Raises:
        SchemaError: saying where, what was expected and what was found.
    """
    if dataclasses.is_dataclass(kind):
        return typing.cast("T", _decode_dataclass(kind, value, where))
    return typing.cast("T", _decode(kind, value, where))


def encode(value: Any) -> Any:
    """Return a dataclass value as JSON: dicts, lists and scalars."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def check_bounds(value: Any, where: str) -> None:
    """Check a dataclass value built in Python against the bounds of its fields, nested ones too.

    Raises:
        SchemaError: saying where, what was expected and what was found.
    """
    decode(type(value), encode(value), where)


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        # Lengths first: a list that is far too long is not worth decoding.
        for bound in arguments[1:]:
            if isinstance(bound, Size) and isinstance(value, str | list | dict):
                _check(bound, value, where)
        decoded = _decode_plain(arguments[0], value, where)
        for bound in arguments[1:]:
            _check(bound, decoded, where)
        return decoded
    decoded = _decode_plain(kind, value, where)
    default = DEFAULTS.get(type(decoded))
    if kind is not Any and default is not None:
        _check(default, decoded, where)
    return decoded


def _check(bound: Any, value: Any, where: str) -> None:
    if isinstance(bound, Range) and not bound.least <= value <= bound.most:
        raise _OutOfBounds(f"{where} is {value!r}, expected {_span(bound)}")
    if isinstance(bound, Size) and not bound.least <= len(value) <= bound.most:
        what = "characters" if isinstance(value, str) else "items"
        raise _OutOfBounds(f"{where} has {len(value)} {what}, expected {_span(bound)}")
    if isinstance(bound, Pattern) and re.fullmatch(bound.expression, value) is None:
        raise _OutOfBounds(f"{where} is {value[:80]!r}, expected {bound.words}")


def _span(bound: Range | Size) -> str:
    return f"{bound.least:,} to {bound.most:,}".replace(",", " ")


def _decode_plain(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(arguments, value, where)
    if origin is tuple and arguments[-1] is not Ellipsis:
        items = _expect(list, value, where)
        if len(items) != len(arguments):
            raise SchemaError(f"{where} has {len(items)} items, expected {len(arguments)}")
        return tuple(
            _decode(a, item, f"{where}[{i}]")
            for i, (a, item) in enumerate(zip(arguments, items, strict=True))
        )
    if origin in (tuple, list):
        items = _expect(list, value, where)
        return origin(_decode(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if origin is dict:
        entries = _expect(dict, value, where)
        return {
            _decode(arguments[0], key, f"a key of {where}"): _decode(
                arguments[1], item, f"{where}.{key}"
            )
            for key, item in entries.items()
        }
    if kind is float:
        return _decode_float(value, where)
    return _expect(kind, value, where)


def _decode_dataclass(kind: Any, value: Any, where: str) -> Any:
    entries = _expect(dict, value, where)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(entries) - set(fields))
    if unknown:
        raise SchemaError(f"{where} has an unknown field '{unknown[0]}'")
    missing = [
        name
        for name, field in fields.items()
        if name not in entries
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise SchemaError(f"{where} lacks the field '{missing[0]}'")
    hints = _hints(kind)
    return kind(
        **{name: _decode(hints[name], item, f"{where}.{name}") for name, item in entries.items()}
    )


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _decode_union(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in choices:
        return None
    if (tagged := _tagged(choices)) and isinstance(value, dict):
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in tagged:
            shown = "no kind" if kind is None else f"kind {str(kind)[:80]!r}"
            raise _OutOfBounds(f"{where} has {shown}, expected one of {sorted(tagged)}")
        return _decode_dataclass(tagged[kind], value, where)
    failures = []
    for choice in choices:
        if choice is not type(None):
            try:
                return _decode(choice, value, where)
            except _OutOfBounds:  # of the right type, so that this is what was meant
                raise
            except SchemaError as error:
                failures.append(str(error))
    raise SchemaError(failures[-1])


@functools.cache
def _tagged(choices: tuple[Any, ...]) -> dict[str, Any]:
    """Return kind -> dataclass, where all choices are dataclasses with a constant field `kind`."""
    kinds = [choice for choice in choices if choice is not type(None)]
    if len(kinds) < 2 or not all(dataclasses.is_dataclass(kind) for kind in kinds):
        return {}
    tags = [field.default for k in kinds for field in dataclasses.fields(k) if field.name == "kind"]
    if len(tags) < len(kinds):
        return {}
    return {str(tag): kind for tag, kind in zip(tags, kinds, strict=True)}


def _decode_float(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SchemaError(f"{where} is {value!r}, expected a finite number")
    return float(value)


def _expect(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SchemaError(
            f"{where} is of type {type(value).__name__}, expected {getattr(kind, '__name__', kind)}"
        )
    return value
