"""Proof that what was exported computes what was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeswap_compress._checkpoint import Checkpoint
from edgeswap_compress._pipeline import SwapPipeline
from edgeswap_export._errors import ParityFailed
from edgeswap_export._graphs import TorchGraph
from edgeswap_export._probe import SEED, Probe
from edgeswap_export._samplers._noise import quiet_diffusers
from edgeswap_runtime._manifest import Schedule
from edgeswap_runtime._sampler import sample_latents
from edgeswap_runtime.backends._ort import OrtBackend

GRAPH_TOLERANCE = 1e-4
"""Largest difference of one graph's output, in units of that output's standard deviation.

float32 rounds to 6e-8; some hundred layers that sum in another order measure 1e-6 to 1e-5, and
another processor's kernels sum in yet another order. A wrong layer shows as 1e-2 and more.
"""

SWAP_TOLERANCE = 0.5 / 255.0
"""Largest difference of a swapped crop in [-1, 1] after the whole sampler: a quarter of an 8-bit
level.

Measured are 1e-6 to 4e-6, what is left of the graphs' differences, but up to 4e-4 for Euler's
method: diffusers computes it in float32 on numbers of the size of sigma = 4096.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far ONNX Runtime is from torch on one output.

    Attributes:
        max_abs: Largest absolute difference.
        relative: The same in units of the reference's standard deviation.
        tolerance: What was allowed.
    """

    max_abs: float
    relative: float
    tolerance: float


def difference(
    found: NDArray[np.float32], expected: NDArray[np.float32], tolerance: float
) -> Difference:
    """Measure one output against its reference; both of one shape."""
    largest = float(np.abs(found.astype(np.float64) - expected.astype(np.float64)).max())
    spread = float(expected.astype(np.float64).std())
    return Difference(max_abs=largest, relative=largest / max(spread, 1e-12), tolerance=tolerance)


def graph_parity(
    backend: OrtBackend, graphs: Mapping[str, TorchGraph]
) -> dict[str, dict[str, Any]]:
    """Compare every graph with torch on its example.

    Returns:
        Graph name -> output name -> Difference as a dict.

    Raises:
        ParityFailed: An output differs by more than GRAPH_TOLERANCE, or is not finite.
    """
    report: dict[str, dict[str, Any]] = {}
    for name, graph in graphs.items():
        buffers = {key: backend.upload(value.numpy()) for key, value in graph.inputs.items()}
        found = {key: backend.download(b) for key, b in backend.run(name, buffers).items()}
        report[name] = {}
        for key, expected in graph.outputs.items():
            measured = difference(found[key], expected.numpy(), GRAPH_TOLERANCE)
            if not measured.relative <= GRAPH_TOLERANCE:  # also when it is not a number
                raise ParityFailed(
                    f"graph '{name}', output '{key}': onnxruntime differs from torch by"
                    f" {measured.relative:.1e} standard deviations, expected at most"
                    f" {GRAPH_TOLERANCE:.0e}; nothing was written: this is a fault of the export,"
                    " please report it with the checkpoint's swap.json"
                )
            report[name][key] = asdict(measured)
    return report


def swap_parity(
    schedule: str, found: NDArray[np.float32], expected: NDArray[np.float32]
) -> dict[str, float]:
    """Compare a whole swap with the reference pipeline's.

    Args:
        schedule: The schedule's name, for the message.
        found: (1, 3, R, R) crop from ``swap_with_runtime``.
        expected: The same from ``swap_with_torch``.

    Returns:
        The Difference as a dict.

    Raises:
        ParityFailed: The crops differ by more than SWAP_TOLERANCE, or are not finite.
    """
    measured = difference(found, expected, SWAP_TOLERANCE)
    if not measured.max_abs <= SWAP_TOLERANCE:  # also when it is not a number
        raise ParityFailed(
            f"schedule '{schedule}': the swapped crop differs from torch's by"
            f" {measured.max_abs:.1e}, expected at most {SWAP_TOLERANCE:.1e}; nothing was written:"
            " this is a fault of the export, please report it with the checkpoint's swap.json"
        )
    return asdict(measured)


def swap_with_runtime(
    backend: OrtBackend, schedule: Schedule, probe: Probe, guidance_scale: float, seed: int = SEED
) -> NDArray[np.float32]:
    """Swap the probe as the runtime does: its backend, its sampler, the exported graphs.

    Noise after the start is drawn from torch's generator, in the order diffusers draws it.
    """
    generator = torch.Generator().manual_seed(seed)
    start = [probe.noise]

    def draw() -> NDArray[np.float32]:
        noise = start.pop() if start else torch.randn(probe.noise.shape, generator=generator)
        return noise.numpy()

    fixed = {
        **backend.run("encode", {"target": backend.upload(probe.target.numpy())}),
        **backend.run("identity", {"source": backend.upload(probe.source.numpy())}),
    }
    guidance = {}
    if guidance_scale != 1.0:
        guidance["guidance"] = backend.upload(np.array([guidance_scale], np.float32))

    def denoise(sample: NDArray[np.float32], timestep: float) -> NDArray[np.float32]:
        inputs = {
            "sample": backend.upload(sample.astype(np.float32)),
            "timestep": backend.upload(np.array([timestep], np.float32)),
            **fixed,
            **guidance,
        }
        return backend.download(backend.run("denoise", inputs)["output"])

    sample = sample_latents(schedule, denoise, draw)
    latents = fixed["target_latents"]
    decoded = {"sample": backend.upload(sample), "target_latents": latents}
    return backend.download(backend.run("decode", decoded)["crop"])


def swap_with_torch(
    checkpoint: Checkpoint, scheduler: Any, steps: int, probe: Probe, seed: int = SEED
) -> NDArray[np.float32]:
    """Swap the probe with the reference pipeline and a diffusers scheduler."""
    pipeline = SwapPipeline.from_checkpoint(checkpoint, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    with quiet_diffusers():
        output = pipeline(
            probe.target,
            probe.source,
            num_inference_steps=steps,
            noise=probe.noise,
            generator=torch.Generator().manual_seed(seed),
        )
    return output.crops.numpy()


def open_graphs(folder: Path, files: Mapping[str, str]) -> OrtBackend:
    """Open graphs on the processor with one thread, so that their sums have one order."""
    paths = {name: folder / file for name, file in files.items()}
    return OrtBackend(paths, device="cpu", threads=1)
