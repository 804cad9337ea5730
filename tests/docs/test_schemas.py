"""The JSON schemas: up to date, fitting the packaged files, refusing what our readers refuse."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from json_schemas import SCHEMAS, Definitions, main, path_of, text_of
from jsonschema import Draft202012Validator

from edgeswap_compress import default_checkpoint
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.errors import CompressError
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_runtime.bundle import schema
from edgeswap_runtime.bundle.manifest import Manifest

FREE = {"history", "quality", "parity", "flags"}
"""Fields that hold what a stage likes to say."""
SAMPLE = 40
"""Damages of one kind that are tried of each file."""


def read_manifest(body: Any) -> None:
    schema.decode(Manifest, body, "manifest")


def read_swap(body: Any) -> None:
    SwapConfig.from_json({key: value for key, value in body.items() if key != "files"})


READERS: dict[str, Callable[[Any], object]] = {
    "manifest": read_manifest,
    "swap": read_swap,
    "pruning": PruningPlan.from_json,
}


@pytest.fixture
def documents(tiny_bundle: Path) -> dict[str, list[Any]]:
    """Name of a schema -> files that must fit it."""
    teacher, student = (default_checkpoint(name) for name in ("teacher", "student"))
    files = {
        "manifest": [tiny_bundle / "manifest.json"],
        "swap": [teacher / "swap.json", student / "swap.json"],
        "pruning": [student / "unet" / "pruning.json"],
    }
    return {name: [json.loads(path.read_text()) for path in some] for name, some in files.items()}


def errors(name: str, document: Any) -> list[str]:
    validator = Draft202012Validator(json.loads(path_of(name).read_text()))
    return [error.message for error in validator.iter_errors(document)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_valid_and_up_to_date(name: str) -> None:
    found = json.loads(text_of(name))
    Draft202012Validator.check_schema(found)
    assert path_of(name).read_text() == text_of(name), "python docs/_ext/json_schemas.py"
    for part in (found, *found.get("$defs", {}).values()):
        if part["type"] == "object" and "properties" in part:
            assert part["additionalProperties"] is False


@dataclass(frozen=True, slots=True)
class Span:
    """Stands in for the bounds of a number, of characters or of items."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Words:
    """Stands in for a pattern."""

    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """A value with bounds in its annotations.

    Attributes:
        side_px: how wide
            it is.
    """

    side_px: Annotated[int, Span(1, 4)]
    name: Annotated[str, Span(0, 3)] = ""
    items: Annotated[tuple[Annotated[str, Words("[ab]+")], ...], Span(0, 2)] = ()
    files: dict[Annotated[str, Span(1, 5)], int] = field(default_factory=dict)
    size: int | None = None


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"side_px": 5}, False),
        ({"side_px": 0}, False),
        ({"name": "four"}, False),
        ({"items": ["a", "b"]}, True),
        ({"items": ["a", "b", "a"]}, False),
        ({"items": ["ac"]}, False),
        ({"files": {"a.bin": 1}}, True),
        ({"files": {"longer": 1}}, False),
        ({"size": None}, True),
        ({"size": "x"}, False),
    ],
)
def test_bounds_of_annotations_become_those_of_the_schema(
    change: dict[str, Any], fits: bool
) -> None:
    found = Definitions().object_of(Bounded)
    Draft202012Validator.check_schema(found)
    assert found["required"] == ["side_px"]
    assert found["properties"]["side_px"]["description"] == "how wide it is."
    assert Draft202012Validator(found).is_valid({"side_px": 1} | change) is fits


def test_a_stale_schema_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("json_schemas.FOLDER", tmp_path)
    assert main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().out
    assert main([]) == 0
    assert main(["--check"]) == 0


@pytest.mark.parametrize("name", SCHEMAS)
def test_packaged_files_fit(name: str, documents: dict[str, list[Any]]) -> None:
    for document in documents[name]:
        READERS[name](copy.deepcopy(document))
        assert errors(name, document) == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_damaged_files_do_not(name: str, documents: dict[str, list[Any]]) -> None:
    for document in documents[name]:
        for what, damaged in damages(document):
            assert errors(name, damaged), what


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_readers_refuse_them_too(name: str, documents: dict[str, list[Any]]) -> None:
    """An unknown field, and a word where an object is expected."""
    for document in documents[name]:
        for damaged in (document | {"odd": 1}, document | {_first_object(document): "odd"}):
            assert errors(name, damaged)
            with pytest.raises((schema.SchemaError, CompressError, AttributeError)):
                READERS[name](copy.deepcopy(damaged))


def _first_object(document: Any) -> str:
    return next(k for k, v in document.items() if isinstance(v, dict) and k not in ("files", *FREE))


def damages(document: Any) -> Iterator[tuple[str, Any]]:
    """Copies of a document, each with one value of another type or one field too many."""
    places = list(_places(document, ()))
    step = max(1, len(places) // SAMPLE)
    for place in places[::step]:
        damaged = copy.deepcopy(document)
        _at(damaged, place[:-1])[place[-1]] = {"odd": ["odd"]}
        yield f"{'.'.join(map(str, place))} is an odd object", damaged
    for name in document:
        if name not in FREE:
            yield f"{name} is a list of lists", document | {name: [["odd"]]}
    yield "one field too many", document | {"odd": 1}


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Paths of all scalars outside the free fields."""
    if isinstance(value, dict):
        items: Any = [(k, v) for k, v in value.items() if k not in FREE]
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        yield path
        return
    for key, item in items:
        yield from _places(item, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
