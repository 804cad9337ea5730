"""Write the documentation of a report's JSON, from the docstrings of the values it is made of.

python -m edgeswap_bench.report.schema > docs/reference/bench-report.md
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from typing import Any

from edgeswap_bench._statistics import Interval, Timing
from edgeswap_bench.explain.ceilings import Ceilings
from edgeswap_bench.explain.explain import Block, Explanation
from edgeswap_bench.measure import results
from edgeswap_bench.predict.predict import Estimate
from edgeswap_bench.trust.gpu import GpuState
from edgeswap_bench.trust.machine import MachineState
from edgeswap_bench.trust.verdict import Verdict
from edgeswap_bench.trust.watch import Conditions, Moment

_KINDS: tuple[type[Any], ...] = (
    results.Report,
    results.SubjectResult,
    results.TaskResult,
    Timing,
    Interval,
    results.GraphTiming,
    Verdict,
    results.Throughput,
    results.Start,
    results.Memory,
    results.Ratio,
    Conditions,
    MachineState,
    Moment,
    GpuState,
    Explanation,
    Block,
    Ceilings,
    Estimate,
)
_TYPED = {"explanations": "list of Explanation", "estimates": "list of Estimate"}

_INTRODUCTION = f"""\
# The JSON of `edgeswap bench --json`

Schema {results.SCHEMA}. `schema` rises when a field goes or changes its meaning; a file of another
schema is refused. `edgeswap_bench.read_report` reads it back. Nothing is rounded. This page is
written by `python -m edgeswap_bench.report.schema`.
"""


def schema_page() -> str:
    """Document every value of a report, field by field."""
    return "\n".join([_INTRODUCTION, *(_section(kind) for kind in _KINDS)])


def _section(kind: type[Any]) -> str:
    docs = kind.__doc__ or ""
    meanings = _meanings(docs)
    rows = []
    hints = typing.get_type_hints(kind, vars(sys.modules[kind.__module__]))
    for field in dataclasses.fields(kind):
        word = _TYPED.get(field.name) or _word(hints[field.name])
        rows.append(f"| {field.name} | {word} | {meanings.get(field.name, '')} |")
    first = " ".join(docs.split("\n\n")[0].split())
    return "\n".join([f"## {kind.__name__}\n", first, "", "| field | type | meaning |",
                      "|---|---|---|", *rows, ""])  # fmt: skip


def _meanings(docs: str) -> dict[str, str]:
    """Field -> what its line under "Attributes:" says."""
    _, _, part = docs.partition("Attributes:\n")
    part = re.split(r"\n\s*\n", part)[0]
    found: dict[str, str] = {}
    name = ""
    for line in part.splitlines():
        begun = re.match(r"^        (\w+): (.*)$", line)
        if begun:
            name = begun[1]
            found[name] = begun[2]
        elif name and line.startswith("            "):
            found[name] += f" {line.strip()}"
    return found


def _word(hint: Any) -> str:
    """A type as JSON has it."""
    origin, given = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_word(one) for one in given)
    if origin is tuple:
        inner = [one for one in given if one is not Ellipsis]
        return f"list of {_word(inner[0])}" if len(inner) == 1 else "list"
    if origin is dict:
        return f"name → {_word(given[1])}"
    words = {str: "text", int: "number", float: "number", bool: "true or false", Any: "anything",
             type(None): "null"}  # fmt: skip
    return words.get(hint) or str(getattr(hint, "__name__", hint))


if __name__ == "__main__":
    sys.stdout.write(schema_page())
