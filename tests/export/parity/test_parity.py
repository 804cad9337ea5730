"""torch, ONNX Runtime and the runtime give the same numbers on the same input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.pipeline import SwapPipeline
from edgeswap_export._errors import ParityFailed
from edgeswap_export.graphs.example import seeded_example
from edgeswap_export.graphs.swap_graphs import swap_graphs, torch_graphs
from edgeswap_export.graphs.torch_graph import TorchGraph
from edgeswap_export.parity.compare import (
    GRAPH_TOLERANCE,
    SWAP_TOLERANCE,
    difference,
    graph_parity,
    open_graphs,
    swap_with_runtime,
    swap_with_torch,
)
from edgeswap_export.samplers.noise import read_noise_schedule
from edgeswap_export.samplers.schedule import SAMPLERS, schedule_table
from edgeswap_runtime import Bundle, Swapper

GRAPHS = ("encode", "identity", "denoise", "decode")
SEED = 77  # not the one the export itself proves with

both_guidances = pytest.mark.parametrize("guidance", [1.0, 1.5], ids=["plain", "guided"])


def graphs_of(checkpoint: Checkpoint, seed: int = SEED) -> dict[str, TorchGraph]:
    tried = seeded_example(checkpoint.swap, seed)
    return torch_graphs(checkpoint, tried.target, tried.source, tried.noise)


@both_guidances
@pytest.mark.parametrize("name", GRAPHS)
def test_graph_equals_torch(name: str, guidance: float, exported: Any) -> None:
    """float32 sums in another order: 1e-6 of the output's spread is measured, 1e-4 allowed."""
    graph = graphs_of(Checkpoint.load(exported.checkpoint))[name]
    backend = open_graphs(exported.bundle, {name: f"{name}.onnx"})
    report = graph_parity(backend, {name: graph})
    assert set(report[name]) == set(graph.outputs)
    for measured in report[name].values():
        assert 0 <= measured["relative"] <= GRAPH_TOLERANCE


@both_guidances
@pytest.mark.parametrize("timestep", [0.0, 1.0, 333.0, 999.0])
def test_denoiser_equals_torch_at_every_level(
    timestep: float, guidance: float, exported: Any
) -> None:
    graph = graphs_of(Checkpoint.load(exported.checkpoint))["denoise"]
    inputs = {**graph.inputs, "timestep": torch.tensor([timestep])}
    with torch.no_grad():
        outputs = {"output": graph.module(*inputs.values())[0]}
    backend = open_graphs(exported.bundle, {"denoise": "denoise.onnx"})
    graph_parity(backend, {"denoise": replace(graph, inputs=inputs, outputs=outputs)})


@both_guidances
@pytest.mark.parametrize("steps", [1, 4, 25])
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "langevin"])
def test_sampler_equals_pipeline(sampler: str, steps: int, guidance: float, exported: Any) -> None:
    """The whole swap: graph differences, and diffusers' own rounding for Euler (see _parity)."""
    checkpoint = Checkpoint.load(exported.checkpoint)
    config = dict(checkpoint.scheduler.config)
    tried, entry = seeded_example(checkpoint.swap, SEED), SAMPLERS[sampler]
    backend = open_graphs(exported.bundle, {name: f"{name}.onnx" for name in GRAPHS})
    made_of = swap_graphs(checkpoint, tried.target, tried.source, tried.noise)
    table = schedule_table(config, sampler, steps)
    found = swap_with_runtime(backend, made_of, table, tried, guidance)
    reference_scheduler = entry.reference_scheduler(read_noise_schedule(config), entry.options())
    expected = swap_with_torch(checkpoint, reference_scheduler, steps, tried)
    measured = difference(found, expected, SWAP_TOLERANCE)
    assert measured.max_abs <= (SWAP_TOLERANCE if sampler == "euler" else 2e-5)
    assert measured.relative < 0.01


@both_guidances
def test_swapper_equals_pipeline(guidance: float, exported: Any) -> None:
    """What a user calls: 8-bit crops in and out, so one level (and a half to round) may differ."""
    checkpoint = Checkpoint.load(exported.checkpoint)
    tried = seeded_example(checkpoint.swap, SEED)
    pixels = [((c + 1) * 127.5).round().byte() for c in (tried.target, tried.source)]
    target, source = (p[0].permute(1, 2, 0).numpy() for p in pixels)
    with Swapper.open(exported.bundle, threads=1) as swapper:
        identity = swapper.identity_of_crops([source])
        found = swapper.swap_crop(target, identity, noise=tried.noise.numpy())
    pipeline = SwapPipeline.from_checkpoint(checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    crops = pipeline(*(p.float() / 127.5 - 1 for p in pixels), noise=tried.noise).crops
    expected = ((crops[0].permute(1, 2, 0).numpy() + 1) * 127.5).clip(0, 255)
    assert np.abs(found.astype(np.float64) - expected).max() <= 0.5 + 127.5 * 2e-5
    assert expected.std() > 10


def test_guidance_of_one_is_the_plain_evaluation(guided: Any) -> None:
    """u + 1 (c - u) = c: what the guided graph does at 1 is what the plain module does."""
    checkpoint = Checkpoint.load(guided.checkpoint)
    graph = graphs_of(checkpoint)["denoise"]
    backend = open_graphs(guided.bundle, {"denoise": "denoise.onnx"})
    inputs = {**graph.inputs, "guidance": torch.tensor([1.0])}
    with torch.no_grad():
        plain = graph.module(*[v for k, v in inputs.items() if k != "guidance"])[0]
        strong = graph.module(*{**inputs, "guidance": torch.tensor([3.0])}.values())[0]
    graph_parity(backend, {"denoise": replace(graph, inputs=inputs, outputs={"output": plain})})
    assert (strong - plain).abs().max() > 0.01 * plain.std()


def test_manifest_says_what_guidance_costs(guided: Any, plain: Any) -> None:
    expected = {guided.bundle: (1.5, 2, True), plain.bundle: (1.0, 1, False)}
    for bundle, (scale, evaluations, has_input) in expected.items():
        manifest = Bundle.open(bundle).manifest
        names = {tensor.name for tensor in manifest.graphs["denoise"].inputs}
        assert manifest.guidance_scale == scale
        assert manifest.evaluations_per_step == evaluations
        assert ("guidance" in names) is has_input


def test_difference_is_in_units_of_the_spread() -> None:
    expected = np.array([-2.0, 2.0], np.float32)
    measured = difference(expected + np.float32(0.5), expected, 0.1)
    assert (measured.max_abs, measured.relative, measured.tolerance) == (0.5, 0.25, 0.1)


@pytest.mark.parametrize("value", [float("nan"), 10.0])
def test_graph_parity_fails_on_a_difference_and_on_nan(value: float, plain: Any) -> None:
    graph = graphs_of(Checkpoint.load(plain.checkpoint))["decode"]
    wrong = graph.outputs["crop"].clone()
    wrong[0, 0, 0, 0] = value
    backend = open_graphs(plain.bundle, {"decode": "decode.onnx"})
    with pytest.raises(ParityFailed, match="graph 'decode', output 'crop': onnxruntime differs"):
        graph_parity(backend, {"decode": replace(graph, outputs={"crop": wrong})})
