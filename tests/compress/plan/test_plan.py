"""Plans as data: the identity through JSON, and every malformed plan refused by name."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeswap_compress._pruning_errors import BadPlan
from edgeswap_compress.plan.plan import MAX_WIDTH, Axis, LayerCut, PlanStats, PruningPlan

STATS = PlanStats(
    importance="magnitude",
    seed=0,
    round_to=8,
    macs_ratio=0.5,
    macs_before=100,
    macs_after=50,
    parameters_before=10,
    parameters_after=6,
)


def axis(kept: list[int], of: int = 8) -> Axis:
    return Axis(of=of, kept=tuple(kept))


PLAN = PruningPlan(
    layers={
        "a.conv": LayerCut(out=axis([0, 1, 2, 5]), inp=None),
        "b.conv": LayerCut(out=None, inp=axis([7])),
    },
    heads={"c.attn": (0, 2)},
    groups={"d.norm": 4},
    stats=STATS,
)


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    of = draw(st.integers(1, 20))
    kept = draw(st.sets(st.integers(0, of - 1), min_size=1))
    return Axis(of=of, kept=tuple(sorted(kept)))


cuts = st.one_of(
    st.builds(LayerCut, out=axes(), inp=st.none() | axes()),
    st.builds(LayerCut, out=st.none(), inp=axes()),
)
names = st.text(min_size=1, max_size=12)
stats = st.builds(
    PlanStats,
    importance=st.sampled_from(["magnitude", "taylor"]),
    seed=st.integers(0, 9),
    round_to=st.integers(1, 64),
    macs_ratio=st.floats(0.01, 0.99),
    macs_before=st.integers(1, 10**12),
    macs_after=st.integers(1, 10**12),
    parameters_before=st.integers(1, 10**10),
    parameters_after=st.integers(1, 10**10),
    target=st.none() | st.sampled_from(["params", "latency"]),
    allocation=st.none() | st.just("global"),
    resampled=st.none() | st.lists(st.text(max_size=4), max_size=2).map(tuple),
    predicted_loss=st.none() | st.floats(0, 10),
    latency_ratio=st.none() | st.floats(0.01, 2),
)
# names that never lie within one another, so that any of them may be dropped
dropped = st.dictionaries(
    st.integers(0, 99).map(lambda number: f"gone-{number}"),
    st.sampled_from(["identity", "shortcut", "layer"]),
    max_size=3,
)
plans = st.builds(
    PruningPlan,
    dropped=dropped,
    layers=st.dictionaries(names, cuts, max_size=4),
    heads=st.dictionaries(
        names,
        st.sets(st.integers(0, 40), min_size=1).map(lambda heads: tuple(sorted(heads))),
        max_size=2,
    ),
    groups=st.dictionaries(names, st.integers(1, 64), max_size=2),
    stats=st.none() | stats,
)


@settings(max_examples=50, deadline=None)
@given(plans)
def test_json_and_back_is_the_identity(plan: PruningPlan) -> None:
    assert PruningPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_kept_indices_are_written_as_runs() -> None:
    written = PLAN.to_json()["layers"]
    assert written["a.conv"] == {"out": {"of": 8, "kept": "0-2,5"}, "in": None}
    assert written["b.conv"] == {"out": None, "in": {"of": 8, "kept": "7"}}


def test_a_plan_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PLAN.schema = 2  # type: ignore[misc]


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "emptied": (
        {"layers": {"a.conv": LayerCut(out=axis([]))}},
        r"a\.conv \(out\): nothing would be left",
    ),
    "descending": (
        {"layers": {"a.conv": LayerCut(inp=axis([3, 2]))}},
        r"a\.conv \(in\): kept indices must be strictly ascending",
    ),
    "repeated": (
        {"layers": {"a.conv": LayerCut(inp=axis([2, 2]))}},
        r"a\.conv \(in\): kept indices must be strictly ascending",
    ),
    "too high": (
        {"layers": {"a.conv": LayerCut(out=axis([0, 8]))}},
        r"a\.conv \(out\): kept indices 0\.\.8 lie outside 0\.\.7",
    ),
    "negative": (
        {"layers": {"a.conv": LayerCut(out=axis([-1, 3]))}},
        r"a\.conv \(out\): kept indices -1\.\.3 lie outside 0\.\.7",
    ),
    "no axis": ({"layers": {"a.conv": LayerCut()}}, r"a\.conv: names no axis; remove the entry"),
    "no head": ({"layers": {}, "heads": {"c": ()}}, r"c \(heads\): nothing would be left"),
    "negative head": (
        {"layers": {}, "heads": {"c": (-1, 0)}},
        r"c \(heads\): indices must not be negative",
    ),
    "no group": (
        {"layers": {}, "groups": {"d": 0}},
        r"d: groups must be an integer of at least 1, found 0",
    ),
    "other schema": (
        {"layers": {}, "schema": 3},
        r"schema: expected at most 2, found 3; update edgeswap to read it",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_plan_names_its_layer(case: str) -> None:
    arguments, message = INVALID[case]
    with pytest.raises(BadPlan, match=message):
        PruningPlan(**arguments)


DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "newer schema": (
        {"schema": 3, "blocks": []},
        "schema: expected at most 2, found 3; update edgeswap",
    ),
    "schema of a wrong type": ({"schema": True}, "schema: expected at most 2, found True"),
    "unknown key": ({"blocks": []}, r"top level: unknown keys \['blocks'\], missing keys \[\]"),
    "layers a list": ({"layers": []}, "layers: expected an object, found list"),
    "unknown axis": (
        {"layers": {"a": {"out": None, "in": None, "up": None}}},
        r"a: unknown keys \['up'\]",
    ),
    "missing length": (
        {"layers": {"a": {"out": {"kept": "0"}, "in": None}}},
        r"a \(out\): unknown keys \[\], missing keys \['of'\]",
    ),
    "length no number": (
        {"layers": {"a": {"out": {"of": "8", "kept": "0"}, "in": None}}},
        r"a \(out\): 'of' must be an integer in 1\.\.\d+, found '8'",
    ),
    "absurd length": (
        {"layers": {"a": {"out": {"of": MAX_WIDTH + 1, "kept": f"0-{MAX_WIDTH}"}, "in": None}}},
        r"a \(out\): 'of' must be an integer in 1\.\.\d+",
    ),
    "absurd run": (
        {"layers": {"a": {"out": {"of": 8, "kept": "0-99999999999"}, "in": None}}},
        r"a \(out\): kept indices 0-99999999999 lie outside 0\.\.7",
    ),
    "kept a list": (
        {"layers": {"a": {"out": {"of": 8, "kept": [0]}, "in": None}}},
        r"a \(out\): 'kept' must be text such as '0-2,5', found '\[0\]'",
    ),
    "kept empty": (
        {"layers": {"a": {"out": {"of": 8, "kept": ""}, "in": None}}},
        r"a \(out\): 'kept' must be text such as",
    ),
    "heads no integers": ({"heads": {"c": [0, "1"]}}, r"c \(heads\): expected a list of integers"),
    "stats incomplete": ({"stats": {"seed": 0}}, r"stats: unknown keys \[\], missing keys \["),
    "stats of a wrong type": (
        {"stats": {**PLAN.to_json()["stats"], "seed": "0"}},
        r"stats\.seed: expected int, found str",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_json_is_refused(case: str) -> None:
    changes, message = DAMAGED[case]
    with pytest.raises(BadPlan, match=message):
        PruningPlan.from_json({**PLAN.to_json(), **changes})


def test_json_that_is_no_object_is_refused() -> None:
    with pytest.raises(BadPlan, match="top level: expected an object, found list"):
        PruningPlan.from_json([])


def test_every_message_is_one_line() -> None:
    with pytest.raises(BadPlan) as caught:
        PruningPlan.from_json({**PLAN.to_json(), "layers": 3})
    assert "\n" not in str(caught.value)
    assert caught.value.where == "layers"
