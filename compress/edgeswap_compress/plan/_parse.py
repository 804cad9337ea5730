"""Parse the pieces of a pruning.json; every error names the place."""

from __future__ import annotations

import re
from typing import Any

from edgeswap_compress._pruning_errors import BadPlan


def to_runs(kept: tuple[int, ...]) -> str:
    """Write ascending indices as text, "0-2,5" for 0, 1, 2 and 5: a fifth of a list's bytes."""
    starts = [i for n, i in enumerate(kept) if n == 0 or kept[n - 1] != i - 1]
    ends = [i for n, i in enumerate(kept) if n == len(kept) - 1 or kept[n + 1] != i + 1]
    pairs = zip(starts, ends, strict=True)
    return ",".join(str(start) if start == end else f"{start}-{end}" for start, end in pairs)


def from_runs(where: str, data: object, of: int) -> tuple[int, ...]:
    """Read what `to_runs` wrote.

    Args:
        where: the layer and axis, for messages.
        data: parsed JSON.
        of: length of the axis; every index is below it.

    Raises:
        BadPlan: it is no such text, or an index is too large.
    """
    if not isinstance(data, str) or re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", data) is None:
        raise BadPlan(where, f"'kept' must be text such as '0-2,5', found {str(data)[:40]!r}")
    kept: list[int] = []
    for run in data.split(","):
        start, _, end = run.partition("-")
        if int(end or start) >= of:
            raise BadPlan(where, f"kept indices {run} lie outside 0..{of - 1}")
        kept += range(int(start), int(end or start) + 1)
    return tuple(kept)


def integers(where: str, data: object) -> tuple[int, ...]:
    """Read a list of integers.

    Raises:
        BadPlan: it is none.
    """
    if not isinstance(data, list) or any(type(index) is not int for index in data):
        raise BadPlan(where, "expected a list of integers")
    return tuple(data)


def mapping(where: str, data: object) -> dict[str, Any]:
    """Read an object.

    Raises:
        BadPlan: it is none.
    """
    if not isinstance(data, dict):
        raise BadPlan(where, f"expected an object, found {type(data).__name__}")
    return data


def object_of(where: str, data: object, keys: tuple[str, ...]) -> dict[str, Any]:
    """Read an object with exactly these keys.

    Raises:
        BadPlan: it is none, or has other keys.
    """
    found = mapping(where, data)
    unknown = sorted(set(found) - set(keys))
    missing = sorted(set(keys) - set(found))
    if unknown or missing:
        raise BadPlan(where, f"unknown keys {unknown}, missing keys {missing}")
    return found
