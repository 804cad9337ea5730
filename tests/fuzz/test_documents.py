"""Readers of documents refuse any change in one line, or take it; nothing else comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fuzzing import bundles, place, trees, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.data.shard_files import map_shard
from edgeswap_compress.data.shards import read_dataset
from edgeswap_compress.errors import DatasetDamaged
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_export.recipe._recipe import read_recipe
from edgeswap_runtime.bundle.manifest import read_manifest
from edgeswap_runtime.errors import EdgeswapError

quick = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS | st.sampled_from(list(trees.NASTY.values())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest, a checkpoint's documents, a plan and a dataset, all sound."""
    folder = tmp_path_factory.mktemp("documents")
    tiny = place.module(Path(__file__).parents[1] / "runtime" / "tiny_bundle.py")
    tiny.write_bundle(folder / "bundle")
    swap = tiny_checkpoint().swap
    (folder / "swap.json").write_text(json.dumps(swap.to_json()))
    (folder / "plan.json").write_text(json.dumps(PLAN))
    place.write_dataset(folder / "faces", "train")
    return folder


PLAN = {
    "schema": 1,
    "layers": {
        "conv_in": {"out": {"of": 16, "kept": "0-7"}, "in": None},
        "mid": {"out": None, "in": {"of": 16, "kept": "0,2,4-9"}},
    },
    "heads": {"attn": [0, 2]},
    "groups": {"norm": 4},
    "stats": None,
}


def refused_or_taken(read: Callable[[], object]) -> None:
    """Call a reader; an error must be one of ours, in one short line of visible characters."""
    try:
        read()
    except EdgeswapError as error:
        assert 0 < len(str(error)) < 20_000


@given(value=VALUES, data=st.data())
@quick
def test_manifests(documents: Path, value: Any, data: st.DataObject) -> None:
    stated = json.loads((documents / "bundle" / "manifest.json").read_bytes())
    path = data.draw(st.sampled_from(trees.places(stated)))
    changed = documents / "changed"
    changed.mkdir(exist_ok=True)
    text = bundles.sealed(trees.put(stated, path, value))
    place.replace(changed / "manifest.json", text)
    refused_or_taken(lambda: read_manifest(changed))


@given(value=VALUES, data=st.data())
@quick
def test_swap_configs(documents: Path, value: Any, data: st.DataObject) -> None:
    stated = json.loads((documents / "swap.json").read_bytes())
    path = data.draw(st.sampled_from(trees.places(stated)))
    try:
        text = trees.dumps(trees.put(stated, path, value))
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return  # no JSON: the reader of the file refuses it, test_checkpoint's matter
    refused_or_taken(lambda: SwapConfig.from_json(raw, Path("swap.json")))


@given(value=VALUES, data=st.data())
@quick
def test_plans(documents: Path, value: Any, data: st.DataObject) -> None:
    stated = json.loads((documents / "plan.json").read_bytes())
    path = data.draw(st.sampled_from(trees.places(stated)))
    try:
        raw = json.loads(trees.dumps(trees.put(stated, path, value)))
    except (ValueError, RecursionError):
        return
    refused_or_taken(lambda: PruningPlan.from_json(raw))


@given(value=VALUES, data=st.data())
@quick
def test_dataset_manifests(documents: Path, value: Any, data: st.DataObject) -> None:
    stated = json.loads((documents / "faces" / "manifest.json").read_bytes())
    path = data.draw(st.sampled_from(trees.places(stated)))
    changed = documents / "changed-faces"
    if not changed.exists():
        place.linked(documents / "faces", changed)
    place.replace(changed / "manifest.json", trees.dumps(trees.put(stated, path, value)))
    refused_or_taken(lambda: read_dataset(changed))


@given(seed=st.integers(0, 2**32))
@quick
def test_shards(documents: Path, seed: int) -> None:
    file = documents / "faces" / "shard-00000.safetensors"
    _, data = weights.mutate(file.read_bytes(), Random(seed))
    place.replace(documents / "changed.safetensors", data)
    try:
        tensors = map_shard(documents / "changed.safetensors")
    except DatasetDamaged as error:
        assert "changed.safetensors" in str(error)
    else:
        assert {"images", "masks", "landmarks"} <= set(tensors)


@given(text=st.text(max_size=20), data=st.data())
@quick
def test_recipes(documents: Path, text: str, data: st.DataObject) -> None:
    (documents / "tiny").mkdir(exist_ok=True)
    lines = place.RECIPE.replace("pruned", "tiny").splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    way = data.draw(st.sampled_from(("value", "line", "insert")))
    name = lines[at].partition("=")[0]
    lines[at : at + (way != "insert")] = [f"{name}= {text}" if way == "value" else text]
    place.replace(documents / "recipe.toml", "\n".join(lines))
    refused_or_taken(lambda: read_recipe(documents / "recipe.toml"))
