"""Measure this machine's ceilings with the backend itself: multiplying, moving bytes, starting."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_bench.explain.ceilings import Ceilings
from edgeswap_bench.explain.onnx_writer import OnnxWriter
from edgeswap_runtime.backends import open_backend
from edgeswap_runtime.backends.protocol import BackendRequest

if TYPE_CHECKING:
    from edgeswap_bench.measure.config import SwapOptions

    Probe = tuple[bytes, tuple[int, ...]]
    """A model's bytes, and the shape of its input."""

_CACHED = 128 * 1024  # elements: 512 KiB of float32, in and out 1 MiB
_BEYOND = 16 * 1024 * 1024  # 64 MiB, more than the caches
_CHAIN = 64
# A run takes about a millisecond: where others use the cores too, long ones are always cut into.
_SIDE = 384  # of matrices
_CHANNELS, _PIXELS = 128, 16  # of convolutions
_DEPTH = 4
_SECONDS = 0.25


def measure_ceilings(options: SwapOptions, seconds: float = _SECONDS) -> Ceilings:
    """Run four small graphs on a backend, and take the best of many runs of each.

    Args:
        options: which backend, device, precision and threads.
        seconds: spent on each probe.

    Raises:
        EdgeswapError: see `open_backend`.
    """
    graphs = {
        "matrix": _matrices(),
        "convolution": _convolutions(),
        "cached": _copy(_CACHED),
        "memory": _copy(_BEYOND),
        "one": _chain(1),
        "chain": _chain(_CHAIN),
    }
    spent = {name: _best_s(graph, options, seconds) for name, graph in graphs.items()}
    macs = {
        "matrix": _DEPTH * _SIDE**3,
        "convolution": _DEPTH * _PIXELS**2 * _CHANNELS**2 * 9,
    }
    return Ceilings(
        macs_per_s=max(count / spent[name] for name, count in macs.items()),
        cached_bytes_per_s=8 * _CACHED / max(spent["cached"] - spent["one"], 1e-7),
        memory_bytes_per_s=8 * _BEYOND / spent["memory"],
        kernel_s=max(spent["chain"] - spent["one"], 0.0) / (_CHAIN - 1),
    )


def higher(first: Ceilings, second: Ceilings) -> Ceilings:
    """Take the better of two measurements of each ceiling: a busy machine only lowers them."""
    return Ceilings(
        macs_per_s=max(first.macs_per_s, second.macs_per_s),
        cached_bytes_per_s=max(first.cached_bytes_per_s, second.cached_bytes_per_s),
        memory_bytes_per_s=max(first.memory_bytes_per_s, second.memory_bytes_per_s),
        kernel_s=min(first.kernel_s, second.kernel_s),
        cache_bytes=first.cache_bytes,
    )


def _matrices() -> Probe:
    """Matrix products, one after the other."""
    writer = OnnxWriter(inputs={"x": (_SIDE, _SIDE)}, outputs={"y": (_SIDE, _SIDE)})
    values = np.random.default_rng(0).normal(0, 1 / _SIDE, (_SIDE, _SIDE)).astype(np.float32)
    return _repeat(writer, "MatMul", writer.weight("w", values), (_SIDE, _SIDE))


def _convolutions() -> Probe:
    """3 x 3 convolutions, one after the other: changes of layout happen at the ends alone."""
    shape = (1, _CHANNELS, _PIXELS, _PIXELS)
    writer = OnnxWriter(inputs={"x": shape}, outputs={"y": shape})
    spread = 1 / (9 * _CHANNELS)
    values = np.random.default_rng(0).normal(0, spread, (_CHANNELS, _CHANNELS, 3, 3))
    weight = writer.weight("w", values.astype(np.float32))
    return _repeat(writer, "Conv", weight, shape, pads=[1, 1, 1, 1])


def _repeat(
    writer: OnnxWriter, kind: str, weight: str, shape: tuple[int, ...], **attributes: list[int]
) -> Probe:
    for at in range(_DEPTH):
        first = "x" if at == 0 else f"t{at - 1}"
        last = "y" if at == _DEPTH - 1 else f"t{at}"
        writer.node(kind, [first, weight], [last], **attributes)
    return writer.encode(), shape


def _copy(count: int) -> Probe:
    """Read and write so many elements."""
    writer = OnnxWriter(inputs={"x": (1, count)}, outputs={"y": (1, count)})
    writer.node("Mul", ["x", writer.weight("w", np.full(1, 1.5, np.float32))], ["y"])
    return writer.encode(), (1, count)


def _chain(count: int) -> Probe:
    """Tiny nodes, one after the other, that no compiler merges into one."""
    writer = OnnxWriter(inputs={"x": (1, 8, 4, 4)}, outputs={"y": (1, 8, 4, 4)})
    for at in range(count):
        last = "y" if at == count - 1 else f"t{at}"
        writer.node("Softmax", ["x" if at == 0 else f"t{at - 1}"], [last], axis=[-1])
    return writer.encode(), (1, 8, 4, 4)


def _best_s(graph: Probe, options: SwapOptions, seconds: float) -> float:
    """The fastest run."""
    model, shape = graph
    with tempfile.TemporaryDirectory(prefix="edgeswap-probe-") as folder:
        path = Path(folder) / "probe.onnx"
        path.write_bytes(model)
        request = BackendRequest(graphs={"probe": path}, device=options.device,
                                 threads=options.threads, precision=options.precision)  # fmt: skip
        backend = open_backend(options.backend, request)
        try:
            inputs = {"x": backend.upload(np.full(shape, 0.5, np.float32))}
            end = time.perf_counter() + seconds
            found: list[int] = []
            while len(found) < 5 or time.perf_counter() < end:
                start = time.perf_counter_ns()
                backend.run("probe", inputs)
                found.append(time.perf_counter_ns() - start)
        finally:
            backend.close()
    return min(found[1:]) / 1e9
