"""The documentation of the JSON is what the code says, and says something of every field."""

from __future__ import annotations

import re
from pathlib import Path

from edgeswap_bench.report.schema import _meanings, schema_page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "bench-report.md"


def test_the_page_is_up_to_date() -> None:
    """Else: python -m edgeswap_bench.report.schema > docs/reference/bench-report.md."""
    assert PAGE.read_text(encoding="utf-8") == schema_page()


def test_every_field_is_explained() -> None:
    rows = re.findall(r"^\| (\w+) \| (.*) \| (.*) \|$", schema_page(), re.M)
    assert len(rows) > 100 and [name for name, _, meaning in rows if not meaning] == []


def test_meanings_run_over_several_lines() -> None:
    listed = "        a: one\n            two.\n        b: three.\n"
    docs = f"A.\n\n    Attributes:\n{listed}\n    Source: x"
    assert _meanings(docs) == {"a": "one two.", "b": "three."}
