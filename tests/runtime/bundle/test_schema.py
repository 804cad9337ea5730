"""Strict JSON to dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from edgeswap_runtime.bundle.schema import (
    Pattern,
    Range,
    SchemaError,
    Size,
    check_bounds,
    decode,
    encode,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    at: tuple[float, float]
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    points: tuple[Point, ...]
    count: int
    closed: bool = False
    names: dict[str, int] = field(default_factory=dict)
    extra: Any = None
    sizes: list[int | str] = field(default_factory=list)


GOOD: dict[str, Any] = {
    "points": [{"at": [1, 2.5], "label": "a"}, {"at": [0, 0], "label": None}],
    "count": 2,
    "closed": True,
    "names": {"x": 1},
    "extra": {"anything": [1]},
    "sizes": [3, "height"],
}


def test_there_and_back() -> None:
    shape = decode(Shape, GOOD, "shape")
    assert shape.points[0].at == (1.0, 2.5)
    assert shape.sizes == [3, "height"]
    assert encode(shape) == GOOD
    assert decode(Shape, encode(shape), "shape") == shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "2"}, r"shape\.count is of type str, expected int"),
        ({"count": True}, r"shape\.count is of type bool, expected int"),
        ({"count": 2.0}, r"shape\.count is of type float, expected int"),
        ({"color": 1}, "shape has an unknown field 'color'"),
        ({"points": [{"at": [1]}]}, r"shape\.points\[0\]\.at has 1 items, expected 2"),
        ({"points": [{"at": [1, "2"]}]}, r"points\[0\]\.at\[1\] is '2', expected a finite number"),
        ({"points": [{"at": [1, True]}]}, r"at\[1\] is True, expected a finite number"),
        ({"points": [{"at": [1, float("inf")]}]}, r"is inf, expected a finite number"),
        ({"points": [{}]}, r"shape\.points\[0\] lacks the field 'at'"),
        ({"points": {}}, r"shape\.points is of type dict, expected list"),
        ({"points": [{"at": [1, 2], "label": 3}]}, r"label is of type int, expected str"),
        ({"names": {"x": None}}, r"shape\.names\.x is of type NoneType, expected int"),
        ({"sizes": [[]]}, r"shape\.sizes\[0\] is of type list, expected str"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        decode(Shape, GOOD | change, "shape")


def test_the_whole_may_be_of_the_wrong_kind() -> None:
    with pytest.raises(SchemaError, match="shape is of type list, expected dict"):
        decode(Shape, [], "shape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    side: Annotated[int, Range(8, 2048)] = 8
    name: Annotated[str, Size(1, 5)] = "a"
    key: Annotated[str, Pattern("[0-9a-f]{4}", "4 hex digits")] = "00ff"
    sizes: Annotated[tuple[Annotated[int, Range(1, 9)] | str, ...], Size(1, 3)] = (1,)
    rate: float = 0.0
    table: dict[Annotated[str, Size(1, 3)], int] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": 10**9}, r"it\.side is 1000000000, expected 8 to 2 048"),
        ({"side": 7}, r"it\.side is 7, expected 8 to"),
        ({"name": ""}, r"it\.name has 0 characters, expected 1 to 5"),
        ({"key": "00fg"}, r"it\.key is '00fg', expected 4 hex digits"),
        ({"key": "00ff\n"}, "expected 4 hex digits"),
        ({"sizes": []}, r"it\.sizes has 0 items, expected 1 to 3"),
        ({"sizes": [-1]}, r"it\.sizes\[0\] is -1, expected 1 to 9"),
        ({"sizes": ["n", 1.5]}, r"it\.sizes\[1\] is of type float"),
        ({"rate": 1e200}, r"it\.rate is 1e\+200, expected -1e\+30 to 1e\+30"),
        ({"name": "x" * 100_000}, "has 100000 characters"),
        ({"table": {"four": 1}}, r"a key of it\.table has 4 characters"),
        ({"x" * 10_000: 1}, "unknown field 'xxx"),
    ],
)
def test_bounds_are_held(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        decode(Bounded, change, "it")
    assert len(str(caught.value)) < 600


def test_bounds_of_values_built_in_python() -> None:
    check_bounds(Bounded(side=2048), "it")
    with pytest.raises(SchemaError, match=r"it\.side is 4096"):
        check_bounds(Bounded(side=4096), "it")
