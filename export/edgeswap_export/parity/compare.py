"""Compare graphs and whole swaps in ONNX Runtime with torch."""

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
from edgeswap_export.graphs.entries import fixed_arrays, graph_entries
from edgeswap_export.graphs.example import SEED, SwapExample
from edgeswap_export.graphs.swap_graphs import SwapGraphs
from edgeswap_export.graphs.swap_run import SwapRun
from edgeswap_export.graphs.torch_graph import TorchGraph
from edgeswap_export.parity._bisect import Divergence
from edgeswap_export.samplers.noise import quiet_diffusers
from edgeswap_runtime.backends.ort import OrtBackend
from edgeswap_runtime.backends.protocol import Backend
from edgeswap_runtime.bundle.manifest import Schedule

GRAPH_TOLERANCE = 1e-4
"""Largest difference of a graph's output, in units of that output's standard deviation.

float32 rounds to 6e-8. Some hundred layers that sum in another order differ by 1e-6 to 1e-5, and
other processors sum in yet other orders. A wrong layer differs by 1e-2 and more.
"""

SWAP_TOLERANCE = 0.5 / 255.0
"""Largest difference of a swapped crop in [-1, 1]: a quarter of an 8-bit level.

Measured are 1e-6 to 4e-6, and up to 4e-4 for Euler's method, which diffusers computes in float32 on
numbers as large as sigma = 4096.
"""

SWAP_RMS = {"fp16": 0.015, "bf16": 0.036, "int8": 0.036, "fp8": 0.036}
"""Largest root mean square difference of a swapped crop in [-1, 1], below float32.

A good swap has a PSNR of about 27 dB to the truth. An independent error of 42.5 dB PSNR costs 0.1
dB of that (float16), one of 35 dB half a decibel (the coarser precisions).
"""

Inspect = Callable[[str], Divergence | str | None]
"""Finds the first diverging layer of a graph, by its name; text says why it was not looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far ONNX Runtime is from torch on one output.

    Attributes:
        max_abs: largest absolute difference.
        relative: the same in units of the reference's standard deviation.
        rms: root mean square difference, in units of the reference's standard deviation.
        tolerance: the limit of `relative` for a float32 graph, of `rms` for other precisions; for
            a swapped crop the limit of `max_abs`, in other precisions of the root mean square
            difference (see `psnr_db` beside it).
    """

    max_abs: float
    relative: float
    rms: float
    tolerance: float


def difference(
    found: NDArray[np.float32], expected: NDArray[np.float32], tolerance: float
) -> Difference:
    """Measure how far an output is from its reference, an array of the same shape."""
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
        backend: holds the graphs.
        graphs: the same graphs in torch, with torch's outputs.
        inspect: finds the first diverging layer of a graph that fails, by the graph's name.

    Returns:
        name of a graph -> name of an output -> the Difference as a dict.

    Raises:
        ParityFailed: an output differs by more than GRAPH_TOLERANCE, or is not finite.
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
        name: the graph's name, for the message.
        found: name of an output -> array, from ONNX Runtime.
        expected: the same from torch.
        tolerance: limit of the root mean square difference, for precisions below float32; None
            limits the largest difference to GRAPH_TOLERANCE.
        inspect: finds the first diverging layer of a graph that fails, by the graph's name.

    Returns:
        name of an output -> the Difference as a dict.

    Raises:
        ParityFailed: an output differs by more than the tolerance, or is not finite.
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
        schedule: the schedule's name, for the message.
        found: (1, 3, R, R) crop from `swap_with_runtime`.
        expected: the same from `swap_with_torch`.
        precision: of the graphs. Below float32 the limit is SWAP_RMS for the root mean square
            difference, else SWAP_TOLERANCE for the largest one.

    Returns:
        the Difference as a dict, and "psnr_db".

    Raises:
        ParityFailed: the crops differ by more than the limit, or are not finite.
    """
    allowed = SWAP_RMS.get(precision, SWAP_TOLERANCE)
    measured = difference(found, expected, allowed)
    wrong = found.astype(np.float64) - expected.astype(np.float64)
    rms = float(np.sqrt(np.square(wrong).mean()))
    error = rms if precision in SWAP_RMS else measured.max_abs
    if not error <= allowed:  # also when it is not a number
        remedy = (
            f"this schedule magnifies the roundings of {precision}: take one of more steps, or"
            " --precision fp32"
            if precision in SWAP_RMS
            else "this is a fault of the export, please report it with the checkpoint's swap.json"
        )
        raise ParityFailed(
            f"schedule '{schedule}': the swapped crop differs from torch's by"
            f" {error:.1e}, expected at most {allowed:.1e}; nothing was written: {remedy}"
        )
    psnr_db = float(-20.0 * np.log10(max(rms, 1e-12) / 2.0))
    return {**asdict(measured), "psnr_db": psnr_db}


def swap_with_runtime(
    backend: Backend[Any],
    graphs: SwapGraphs,
    schedule: Schedule,
    example: SwapExample,
    guidance_scale: float,
    draw: Callable[[], NDArray[np.float32]] | None = None,
) -> NDArray[np.float32]:
    """Swap an example with the exported graphs and the runtime's sampler.

    Args:
        backend: holds the graphs.
        graphs: what they were made of, with the example's pictures.
        schedule: the steps to sample.
        example: the noise to start from.
        guidance_scale: the bundle's.
        draw: returns noise (1, C, S, S) float32 at each call, the first included; None starts from
            the example's noise and draws the rest from torch's generator, as diffusers does.

    Returns:
        (1, 3, R, R) float32 crop in [-1, 1].
    """
    draw = _torch_noise(example) if draw is None else draw
    run = SwapRun(backend, graph_entries(graphs), fixed_arrays(graphs, guidance_scale))
    pictures = {role: value.numpy() for role, value in graphs.pictures.items()}
    return run.swap(pictures, schedule, draw)["crop"]


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
    """Swap an example with the torch pipeline.

    Args:
        checkpoint: the reference.
        scheduler: a diffusers scheduler.
        steps: sampling steps.
        example: the crops, and the noise to start from.
        seed: of the noise after the start.

    Returns:
        (1, 3, R, R) float32 crop in [-1, 1].
    """
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
    return output.crops.cpu().numpy()


def open_graphs(folder: Path, files: Mapping[str, str]) -> OrtBackend:
    """Open graphs on the CPU with one thread, so that sums have the same order in every run."""
    paths = {name: folder / file for name, file in files.items()}
    return OrtBackend(paths, device="cpu", threads=1)
