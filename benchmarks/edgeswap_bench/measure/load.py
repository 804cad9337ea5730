"""Read a stored report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgeswap_bench.measure.results import KIND, SCHEMA, Report
from edgeswap_runtime.bundle import schema as _schema
from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

_HINT = "edgeswap bench BUNDLE --json > FILE makes one"


def read_report(path: Path) -> Report:
    """Read a report that `edgeswap bench --json` printed.

    Raises:
        InvalidRequest: no such file, not a report, of another schema, or damaged.
    """
    if not path.is_file():
        raise InvalidRequest(f"there is no file {path}: {_HINT}")
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise InvalidRequest(f"{path} is not JSON ({error}): {_HINT}") from error
    if not isinstance(body, dict) or body.get("kind") != KIND:
        raise InvalidRequest(f"{path} is not a report of edgeswap bench: {_HINT}")
    if body.get("schema") != SCHEMA:
        raise InvalidRequest(
            f"{path} is of schema {body.get('schema')}, this edgeswap reads schema {SCHEMA}: "
            "measure again, or use the edgeswap that wrote it"
        )
    try:
        return Report.from_json(body)
    except _schema.SchemaError as error:
        raise InvalidRequest(f"{path} is a damaged report ({error}): {_HINT}") from error
