"""A plan of which any one entry was deleted or changed is refused; a broken U-Net never comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch

from edgeswap_compress._pruning_errors import BadPlan
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.plan.apply import apply_plan
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune.search.width_plan import plan_from_kept
from edgeswap_compress.prune.structure._families import FAMILIES
from edgeswap_compress.prune.structure.analysis import analyze

TOKENS = 5


@cache
def empty(family: str) -> Any:
    """On the meta device, where cutting costs nothing; callers copy before they cut."""
    kind, config = FAMILIES[family]
    with torch.device("meta"):
        return kind(**config).eval()


@cache
def plan_of(family: str) -> dict[str, Any]:
    """A plan that cuts every set of channels there is."""
    known = analyze(empty(family), tokens=TOKENS)
    kept = {
        chosen.name: range(chosen.widths(round_to=1, keep_groups=False)[1])
        for chosen in known.groups
    }
    plan: dict[str, Any] = plan_from_kept(known.meta_copy, known.groups, kept).to_json()
    return plan


def edits(plan: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The plan with one entry deleted or changed, and which one."""
    for room in ("layers", "heads", "groups"):
        for name in plan[room]:
            edited = deepcopy(plan)
            del edited[room][name]
            yield f"{room}: {name} deleted", edited
    for name, cut in plan["layers"].items():
        for axis in ("out", "in"):
            if cut[axis] is None:
                continue
            edited = deepcopy(plan)
            edited["layers"][name][axis] = None
            yield f"{name} ({axis}) deleted", edited
            edited = deepcopy(plan)
            edited["layers"][name][axis]["kept"] = shifted(cut[axis])
            yield f"{name} ({axis}) shifted", edited
    for name, heads in plan["heads"].items():
        edited = deepcopy(plan)
        edited["heads"][name] = [heads[-1] + 1]
        yield f"heads: {name} changed", edited
    for name, groups in plan["groups"].items():
        for other in (1, groups * 2):
            edited = deepcopy(plan)
            edited["groups"][name] = other
            if other != groups:
                yield f"groups: {name} {other}", edited


def shifted(axis: dict[str, Any]) -> str:
    """As many indices, but others: the last one kept becomes one that was not."""
    kept = [
        index
        for run in axis["kept"].split(",")
        for start, _, end in (run.partition("-"),)
        for index in range(int(start), int(end or start) + 1)
    ]
    stranger = max(set(range(axis["of"])) - set(kept))
    return ",".join(map(str, sorted({*kept[:-1], stranger})))


# between them: every kind of block, resampler, norm, projection and attention
VARIED = ("swap", "upscaler", "adm", "resnet resamplers", "a group a channel")
MOST_EDITS = 120  # of one family, spread evenly; all of them take a minute


@pytest.mark.parametrize("family", VARIED)
def test_any_edit_of_a_plan_is_refused(family: str) -> None:
    unet = empty(family)
    whole = PruningPlan.from_json(json.loads(json.dumps(plan_of(family))))
    pruned = apply_plan(deepcopy(unet), whole)
    with torch.no_grad():
        pruned(**example_inputs(unet.config, tokens=TOKENS))
    shapes = {name: tensor.shape for name, tensor in unet.state_dict().items()}
    every = list(edits(plan_of(family)))
    for what, edited in every[:: -(-len(every) // MOST_EDITS)]:
        with pytest.raises(BadPlan):
            apply_plan(unet, PruningPlan.from_json(edited))
            pytest.fail(what)
    assert {name: tensor.shape for name, tensor in unet.state_dict().items()} == shapes


def test_a_forgotten_upsampler_is_named() -> None:
    plan = deepcopy(plan_of("sd1"))
    name = "up_blocks.0.upsamplers.0.conv"
    plan["layers"][name]["in"] = None
    with pytest.raises(BadPlan, match=rf"{name} \(in\): keeps \d+ indices that are not the \d+ of"):
        apply_plan(deepcopy(empty("sd1")), PruningPlan.from_json(plan))


def test_edges_and_embeddings_have_to_stay_whole() -> None:
    for name, axis, of in (
        ("conv_in", "in", 4),
        ("conv_out", "out", 4),
        ("time_embedding.linear_1", "out", 128),
        ("mid_block.attentions.0.transformer_blocks.0.attn2.to_k", "in", 16),
    ):
        cut = {"out": None, "in": None} | {axis: {"of": of, "kept": f"0-{of - 2}"}}
        plan = PruningPlan.from_json(
            {"schema": 2, "layers": {name: cut}, "heads": {}, "groups": {}, "dropped": {},
             "stats": None}
        )  # fmt: skip
        with pytest.raises(BadPlan, match=rf"{name} \({axis}\): has to stay whole; remove the ent"):
            apply_plan(deepcopy(empty("sd1")), plan)
