"""Graphs whose batch is free compute for a batch what they compute for each of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeswap_export._config import parse_sizes
from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.parity.compare import open_graphs, run_graph
from edgeswap_runtime import Bundle, Swapper

GRAPHS = ("encode", "identity", "denoise", "decode")


def test_manifest_states_the_free_size(free: Path) -> None:
    manifest = Bundle.open(free).manifest
    for name in GRAPHS:
        graph = manifest.graphs[name]
        assert graph.dynamic_axes == {"batch": (1, 2, 3)}
        assert all(t.shape[0] == "batch" for t in (*graph.inputs, *graph.outputs))
        for value in onnx.load(free / graph.file).graph.input:
            assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
            assert all(d.dim_value > 0 for d in value.type.tensor_type.shape.dim[1:])
    assert manifest.parity["batch"]["size"] == 3


def test_batch_equals_its_parts(free: Path) -> None:
    manifest, random = Bundle.open(free).manifest, np.random.default_rng(0)
    backend = open_graphs(free, {name: f"{name}.onnx" for name in GRAPHS})
    for name in GRAPHS:
        feed = {
            t.name: random.standard_normal((3, *t.shape[1:])).astype(np.float32)
            for t in manifest.graphs[name].inputs
        }
        if name == "denoise":
            feed["timestep"] = np.array([999, 500, 1], np.float32)
            feed["guidance"] = np.array([1.0, 2.0, 3.0], np.float32)
        whole = run_graph(backend, name, feed)
        for row in range(3):
            part = run_graph(backend, name, {k: v[row : row + 1] for k, v in feed.items()})
            for key, value in part.items():
                assert np.allclose(whole[key][row : row + 1], value, atol=2e-5), (name, key)


def test_runtime_swaps_with_it(free: Path, guided: Any) -> None:
    crop = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    found = []
    for bundle in (free, guided.bundle):
        with Swapper.open(bundle, threads=1) as swapper:
            found.append(swapper.swap_crop(crop, swapper.identity_of_crops([crop])).astype(int))
    assert np.abs(found[0] - found[1]).max() <= 1 and found[0].std() > 5


@pytest.mark.parametrize("sizes", ["1:8", "0:1:2", "4:2:8", "a:b:c", 3])
def test_bad_sizes(sizes: Any) -> None:
    with pytest.raises(UnsupportedExport, match="expected MIN:OPT:MAX"):
        parse_sizes("batch", sizes)
    assert parse_sizes("batch", "1:4:8") == parse_sizes("batch", [1, 4, 8]) == (1, 4, 8)
