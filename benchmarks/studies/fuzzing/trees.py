"""Mutations of JSON: one place of a document and what is put there instead."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

Path = tuple[str | int, ...]
DEEP = 20_000


class Raw:
    """A piece of JSON text that no Python value stands for, such as 1e999."""

    def __init__(self, text: str) -> None:
        self.text = text


NASTY: dict[str, Raw] = {
    name: Raw(text)
    for name, text in {
        "-1": "-1",
        "0": "0",
        "1": "1",
        "7": "7",
        "0.5": "0.5",
        "64000": "64000",
        "10^9": "1000000000",
        "2^64": str(2**64),
        "2^31 - 1": str(2**31 - 1),
        "1e200": "1e200",
        "-1e200": "-1e200",
        "1e-320": "1e-320",
        "1e999": "1e999",
        "-1e999": "-1e999",
        "NaN": "NaN",
        "Infinity": "Infinity",
        "5000 digits": "1" * 5000,
        "true": "true",
        "null": "null",
        "empty text": '""',
        "text": '"text"',
        "a number as text": '"3"',
        "lone surrogate": '"\\ud800"',
        "NUL in text": '"a\\u0000b"',
        "line break in text": '"a\\nb\\u001b[31m"',
        "path upwards": '"../../../../etc/passwd"',
        "absolute path": '"/etc/passwd"',
        "100 000 characters": '"' + "x" * 100_000 + '"',
        "empty list": "[]",
        "list of one": "[1]",
        "list of texts": '["a", "b"]',
        "list of lists": "[[1, 2], [3]]",
        "empty object": "{}",
        "object": '{"a": 1}',
        "deep list": "[" * DEEP + "]" * DEEP,
        "deep object": '{"a":' * DEEP + "1" + "}" * DEEP,
    }.items()
}
"""What is put into documents: name -> JSON text."""

_FACTORS = (-1, 0, 2, 3, 1000, 10**6, 10**12, 0.5, 1e-9, 1.001)
_REPEATS = (2, 100, 20_000)


def dumps(tree: Any) -> str:
    """The JSON text of a tree whose leaves may be `Raw`."""
    raw: list[str] = []

    def stand_in(value: Any) -> str:
        if not isinstance(value, Raw):
            raise TypeError(f"{value!r} is no JSON")
        raw.append(value.text)
        return f"@raw{len(raw) - 1}@"

    text = json.dumps(tree, indent=1, default=stand_in)
    for number, piece in enumerate(raw):
        text = text.replace(f'"@raw{number}@"', piece)
    return text


def places(tree: Any, path: Path = ()) -> list[Path]:
    """Every place of a document but its root, in document order."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found: list[Path] = []
    for key, value in items:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


def distinct(found: list[Path]) -> list[Path]:
    """One place of each form: list positions past the first count as the same."""
    forms: dict[tuple[str, ...], Path] = {}
    for path in found:
        forms.setdefault(tuple("*" if isinstance(p, int) else p for p in path), path)
    return list(forms.values())


def get(tree: Any, path: Path) -> Any:
    """The value at a place."""
    for part in path:
        tree = tree[part]
    return tree


def put(tree: Any, path: Path, value: Any) -> Any:
    """A copy of the document with another value at a place."""
    if not path:
        return value
    changed = copy.deepcopy(tree)
    get(changed, path[:-1])[path[-1]] = value
    return changed


def drop(tree: Any, path: Path) -> Any:
    """A copy of the document without a place."""
    changed = copy.deepcopy(tree)
    del get(changed, path[:-1])[path[-1]]
    return changed


def told(path: Path) -> str:
    """A place as text: graphs.encode.inputs[0]."""
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return text.removeprefix(".") or "the document"


def crafted(tree: Any, number: int) -> tuple[str, Any]:
    """Nasty values at every distinct place, shuffled once for all: (description, document)."""
    pairs = [(path, name) for path in distinct(places(tree)) for name in NASTY]
    Random(0).shuffle(pairs)
    path, name = pairs[number % len(pairs)]
    return f"{told(path)} = {name}", put(tree, path, NASTY[name])


def mutate(tree: Any, random: Random) -> tuple[str, Any]:
    """One random change of a document: (description, document)."""
    found = places(tree)
    path = random.choice(distinct(found) if random.random() < 0.6 else found)
    value, where = get(tree, path), told(path)
    way = random.choice(("nasty", "nasty", "number", "drop", "repeat", "swap", "rename", "add"))
    if way == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        factor = random.choice(_FACTORS)
        product = value * factor
        whole = isinstance(value, int) and product == int(product)
        return f"{where} times {factor:g}", put(tree, path, int(product) if whole else product)
    if way == "drop":
        return f"without {where}", drop(tree, path)
    if way == "repeat" and isinstance(value, list):
        times = random.choice(_REPEATS)
        return f"{where} {times} times over", put(tree, path, value * times)
    if way == "swap":
        other = random.choice(found)
        if path[: len(other)] != other[: len(path)]:
            swapped = put(put(tree, path, get(tree, other)), other, value)
            return f"{where} and {told(other)} exchanged", swapped
    if way == "rename" and isinstance(path[-1], str):
        name = random.choice(("", "text", path[-1].upper(), path[-1] + "s", "\u202e", "../" * 3))
        return f"{where} renamed {name!r}", put(drop(tree, path), (*path[:-1], name), value)
    if way == "add" and isinstance(value, dict):
        return f"{where}.extra added", put(tree, (*path, "extra"), random.choice([1, "a", None]))
    name = random.choice(list(NASTY))
    return f"{where} = {name}", put(tree, path, NASTY[name])
