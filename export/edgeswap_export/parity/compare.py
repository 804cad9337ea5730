"""Proof that what was exported computes what was trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.pipeline import SwapPipeline
from edgeswap_export._errors import ParityFailed
from edgeswap_export.graphs.example import SEED, SwapExample
from edgeswap_export.graphs.swap_graphs import TorchGraph
from edgeswap_export.parity._bisect import Divergence
from edgeswap_export.samplers.noise import quiet_diffusers
from edgeswap_runtime.backends.ort import OrtBackend
from edgeswap_runtime.backends.protocol import Backend
from edgeswap_runtime.bundle.manifest import Schedule
from edgeswap_runtime.sampler import sample_latents

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


SWAP_RMS = {"fp16": 0.015, "bf16": 0.036, "int8": 0.036, "fp8": 0.036}
"""Largest root mean square difference of a swapped crop in [-1, 1], in fewer bits than float32.

A good swap is some 27 dB from the truth. An error of its own that is 42.5 dB down costs 0.1 dB of
that, one 35 dB down half a decibel: what float16 and the coarser precisions may cost.
"""

Inspect = Callable[[str], Divergence | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far ONNX Runtime is from torch on one output.

    Attributes:
        max_abs: Largest absolute difference.
        relative: The same in units of the reference's standard deviation.
        rms: Root mean square difference in units of the reference's standard deviation.
        tolerance: What was allowed: of `relative` in float32, of `rms` in fewer bits; of
            `max_abs` for a swapped crop, in fewer bits of its root mean square difference, which
            is what `psnr_db` states.
    """

    max_abs: float
    relative: float
    rms: float
    tolerance: float


def difference(
    found: NDArray[np.float32], expected: NDArray[np.float32], tolerance: float
) -> Difference:
    """Measure one output against its reference; both of one shape."""
    wrong = found.astype(np.float64) - expected.astype(np.float64)
    largest = float(np.abs(wrong).max())
    spread = max(float(expected.astype(np.float64).std()), 1e-12)
    return Difference(
        max_abs=largest,
        relative=largest / spread,
        rms=float(np.sqrt(np.square(wrong).mean())) / spread,
        tolerance=tolerance,
    )


def graph_parity(
    backend: Backend[Any], graphs: Mapping[str, TorchGraph], inspect: Inspect = lambda name: None
) -> dict[str, dict[str, Any]]:
    """Compare every graph with torch on its example.

    Args:
        backend: Has the graphs.
        graphs: What torch answers.
        inspect: Asked for the first diverging layer of a graph that fails.

    Returns:
        Graph name -> output name -> Difference as a dict.

    Raises:
        ParityFailed: An output differs by more than GRAPH_TOLERANCE, or is not finite.
    """
    report: dict[str, dict[str, Any]] = {}
    for name, graph in graphs.items():
        feed = {key: value.numpy() for key, value in graph.inputs.items()}
        found = run_graph(backend, name, feed)
        expected = {key: value.numpy() for key, value in graph.outputs.items()}
        report[name] = output_parity(name, found, expected, None, inspect)
    return report


def run_graph(
    backend: Backend[Any], name: str, feed: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Run one graph of a backend, arrays in and out."""
    buffers = {key: backend.upload(value) for key, value in feed.items()}
    return {key: backend.download(b) for key, b in backend.run(name, buffers).items()}


def output_parity(
    name: str,
    found: Mapping[str, NDArray[np.float32]],
    expected: Mapping[str, NDArray[np.float32]],
    tolerance: float | None,
    inspect: Inspect,
) -> dict[str, dict[str, float]]:
    """Compare one graph's outputs with torch's.

    Args:
        name: The graph's, for the message.
        found, expected: Output name -> array.
        tolerance: Of the root mean square difference, for fewer bits than float32; when None, the
            largest single difference may be GRAPH_TOLERANCE.
        inspect: Asked for the first diverging layer of a graph that fails.

    Returns:
        Output name -> Difference as a dict.

    Raises:
        ParityFailed: An output differs by more than the tolerance, or is not finite.
    """
    report = {}
    allowed = GRAPH_TOLERANCE if tolerance is None else tolerance
    for key, truth in expected.items():
        measured = difference(found[key], truth, allowed)
        error = measured.relative if tolerance is None else measured.rms
        if not error <= allowed:  # also when it is not a number
            where = inspect(name) or "no single layer differs by as much"
            raise ParityFailed(
                f"graph '{name}', output '{key}': onnxruntime differs from torch by"
                f" {error:.1e} standard deviations, expected at most {allowed:.0e}; nothing was"
                f" written; {where}: this is a fault of the export, please report it with the"
                " checkpoint's swap.json"
            )
        report[key] = asdict(measured)
    return report


def swap_parity(
    schedule: str,
    found: NDArray[np.float32],
    expected: NDArray[np.float32],
    precision: str = "fp32",
) -> dict[str, float]:
    """Compare a whole swap with the reference pipeline's.

    Args:
        schedule: The schedule's name, for the message.
        found: (1, 3, R, R) crop from ``swap_with_runtime``.
        expected: The same from ``swap_with_torch``.
        precision: Of the graphs. In fewer bits than float32 the root mean square difference is
            held against SWAP_RMS, in units of the crop's range.

    Returns:
        The Difference as a dict.

    Raises:
        ParityFailed: The crops differ by more than SWAP_TOLERANCE, or are not finite.
    """
    allowed = SWAP_RMS.get(precision, SWAP_TOLERANCE)
    measured = difference(found, expected, allowed)
    wrong = found.astype(np.float64) - expected.astype(np.float64)
    rms = float(np.sqrt(np.square(wrong).mean()))
    error = rms if precision in SWAP_RMS else measured.max_abs
    if not error <= allowed:  # also when it is not a number
        raise ParityFailed(
            f"schedule '{schedule}': the swapped crop differs from torch's by"
            f" {error:.1e}, expected at most {allowed:.1e}; nothing was written:"
            " this is a fault of the export, please report it with the checkpoint's swap.json"
        )
    psnr_db = float(-20.0 * np.log10(max(rms, 1e-12) / 2.0))
    return {**asdict(measured), "psnr_db": psnr_db}


def swap_with_runtime(
    backend: Backend[Any],
    schedule: Schedule,
    example: SwapExample,
    guidance_scale: float,
    draw: Callable[[], NDArray[np.float32]] | None = None,
) -> NDArray[np.float32]:
    """Swap the example as the runtime does: its backend, its sampler, the exported graphs.

    Args:
        backend: Has the graphs.
        schedule: To sample by.
        example: The crops, and the noise to start from.
        guidance_scale: Of the bundle.
        draw: Gives all the noise, (1, C, S, S) float32 at a time, and the example's is not used;
            when None, noise after the start is drawn from torch's generator, as diffusers does.

    Returns:
        (1, 3, R, R) float32 crop in [-1, 1].
    """
    draw = _torch_noise(example) if draw is None else draw
    fixed = {
        **backend.run("encode", {"target": backend.upload(example.target.numpy())}),
        **backend.run("identity", {"source": backend.upload(example.source.numpy())}),
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


def _torch_noise(example: SwapExample) -> Callable[[], NDArray[np.float32]]:
    generator = torch.Generator().manual_seed(SEED)
    start = [example.noise]

    def draw() -> NDArray[np.float32]:
        noise = start.pop() if start else torch.randn(example.noise.shape, generator=generator)
        return noise.numpy()

    return draw


def swap_with_torch(
    checkpoint: Checkpoint, scheduler: Any, steps: int, example: SwapExample, seed: int = SEED
) -> NDArray[np.float32]:
    """Swap the example with the reference pipeline and a diffusers scheduler."""
    pipeline = SwapPipeline.from_checkpoint(checkpoint, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    with quiet_diffusers():
        output = pipeline(
            example.target,
            example.source,
            num_inference_steps=steps,
            noise=example.noise,
            generator=torch.Generator().manual_seed(seed),
        )
    return output.crops.numpy()


def open_graphs(folder: Path, files: Mapping[str, str]) -> OrtBackend:
    """Open graphs on the processor with one thread, so that their sums have one order."""
    paths = {name: folder / file for name, file in files.items()}
    return OrtBackend(paths, device="cpu", threads=1)
