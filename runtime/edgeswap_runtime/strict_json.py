"""Read JSON strictly: refuse what other readers would take differently or fail on.

Every room reads users' JSON files with `read_json`, and JSON that came another way with
`parse_json`; `JsonError` is a `ValueError`, for the caller to turn into an error that names the
file.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.files import read_regular

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 16_000_000
"""Longest JSON file; the packaged student's manifest has 0.05 MB."""
MAX_DEPTH = 64
"""Most lists and objects inside one another."""
INTEGERS = (-(2**63), 2**64 - 1)
"""Least and largest whole number: what fits into 64 bits, with or without a sign."""

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class JsonError(ValueError):
    """Bytes are not JSON, or are JSON that not every reader takes alike."""


def read_json(path: Path, *, limit_bytes: int = MAX_BYTES) -> Any:
    """Read a JSON file strictly.

    Args:
        path: a regular file in UTF-8.
        limit_bytes: the longest file that is read; a longer one is refused.

    Returns:
        what `parse_json` returns.

    Raises:
        JsonError: it is too long, or `parse_json` refuses it.
        OSError: as the system reports it; also for a pipe, which could be waited for without end.
    """
    return parse_json(read_regular(path, limit_bytes + 1), limit_bytes=limit_bytes)


def read_json_object(path: Path, *, limit_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Read a JSON file whose outermost value must be an object; otherwise as `read_json`.

    Raises:
        JsonError: as from `read_json`, or the outermost value is none.
        OSError: as the system reports it.
    """
    value = read_json(path, limit_bytes=limit_bytes)
    if not isinstance(value, dict):
        raise JsonError(f"expected an object, found {_kind_of(value)}")
    return value


def parse_json(data: bytes, *, limit_bytes: int = MAX_BYTES) -> Any:
    """Turn JSON bytes into Python values, strictly.

    Args:
        data: UTF-8.
        limit_bytes: the most bytes that are taken.

    Returns:
        dicts, lists, str, int within `INTEGERS`, finite float, bool and None.

    Raises:
        JsonError: not JSON or not UTF-8; too long or nested more than `MAX_DEPTH` deep; a key that
            comes twice; NaN, infinity, or a number too large; half of a surrogate pair.
    """
    if len(data) > limit_bytes:
        raise JsonError(f"it is longer than {limit_bytes / 1e6:g} MB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonError(f"it is not UTF-8 at byte {error.start}") from error
    _check_depth(text)
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_without_duplicates,
        )
    except JsonError:
        raise
    except ValueError as error:
        raise JsonError(str(error)) from error
    _check_strings(value)
    return value


def _kind_of(value: Any) -> str:
    kinds = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _check_depth(text: str) -> None:
    """Count brackets outside strings: Python's own parser would run out of stack."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match.group()
        depth += (token in "[{") - (token in "]}")
        if depth > MAX_DEPTH:
            raise JsonError(f"it is nested more than {MAX_DEPTH} deep")


def _check_strings(value: Any) -> None:
    """Refuse halves of surrogate pairs, which no UTF-8 file can hold."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_strings(key)
            _check_strings(item)
    elif isinstance(value, list):
        for item in value:
            _check_strings(item)
    elif isinstance(value, str) and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise JsonError(f"{value[:40]!a} holds half of a surrogate pair") from error


def _refuse_constant(name: str) -> float:
    raise JsonError(f"{name} is not a number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise JsonError(f"{digits[:40]} is too large for a number")
    return value


def _whole(digits: str) -> int:
    # 20 digits and a sign hold every number of 64 bits; int() of many digits takes long.
    value = int(digits) if len(digits) <= 21 else INTEGERS[1] + 1
    if not INTEGERS[0] <= value <= INTEGERS[1]:
        raise JsonError(f"{digits[:40]} does not fit into 64 bits")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonError(f"the key {key[:40]!a} comes twice in one object")
            seen.add(key)
    return entries
