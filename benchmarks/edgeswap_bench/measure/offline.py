"""Measure throughput: many aligned crops in batches, MLPerf's Offline scenario."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_bench.measure.inputs import largest_batch, seeded_inputs
from edgeswap_bench.measure.results import Throughput
from edgeswap_runtime import EdgeswapError
from edgeswap_runtime.errors import EdgeswapFailure
from edgeswap_runtime.sampler import noise_source, sample_latents

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgeswap_bench.measure.config import BenchConfig
    from edgeswap_runtime.backends.protocol import Backend
    from edgeswap_runtime.bundle.manifest import Manifest, Schedule

_LEAST_BATCHES = 10


def measure_throughput(
    manifest: Manifest, backend: Backend[Any], schedule: Schedule, config: BenchConfig
) -> tuple[Throughput, ...]:
    """Swap crops without pause, for each batch size of the config.

    From crops on the host to crops on the host, of known sources: encode, all evaluations of the
    schedule, decode. At least 10 batches and a third of the config's seconds each.
    """
    return tuple(_one(manifest, backend, schedule, batch, config) for batch in config.batches)


def _one(
    manifest: Manifest, backend: Backend[Any], schedule: Schedule, batch: int, config: BenchConfig
) -> Throughput:
    names = ("encode", "denoise", "decode")
    limit = min(largest_batch(manifest.graphs[name]) for name in names)
    if batch > limit:
        return _failed(
            batch,
            f"the bundle takes batches up to {limit}: edgeswap export --batch 1:{batch}:{batch} "
            "makes one that takes more",
        )
    try:
        swap = _batch_swap(manifest, backend, schedule, batch)
        swap(), swap()
        start, done = time.perf_counter(), 0
        while done < _LEAST_BATCHES or time.perf_counter() - start < config.seconds / 3:
            swap()
            done += 1
        seconds = time.perf_counter() - start
    except (EdgeswapError, EdgeswapFailure) as error:
        return _failed(batch, str(error))
    crops = done * batch
    return Throughput(
        batch=batch, error=None, crops=crops, seconds=seconds, crops_per_s=crops / seconds
    )


def _batch_swap(
    manifest: Manifest, backend: Backend[Any], schedule: Schedule, batch: int
) -> Callable[[], Any]:
    """One swap of a whole batch, as a function."""
    graphs = manifest.graphs
    crops = seeded_inputs(graphs["encode"], batch)["target"]
    drawn = seeded_inputs(graphs["denoise"], batch)
    shape = drawn["sample"].shape
    held = {
        name: backend.upload(array) for name, array in drawn.items()
        if name not in ("sample", "timestep", "target_latents")
    }  # fmt: skip

    def evaluate(latents: Any) -> Callable[[NDArray[np.float32], float], NDArray[np.float32]]:
        def denoise(sample: NDArray[np.float32], timestep: float) -> NDArray[np.float32]:
            times = np.full(drawn["timestep"].shape, timestep, np.float32)
            inputs = {"sample": backend.upload(sample), "timestep": backend.upload(times),
                      "target_latents": latents, **held}  # fmt: skip
            return backend.download(backend.run("denoise", inputs)["output"])

        return denoise

    def swap() -> NDArray[Any]:
        latents = backend.run("encode", {"target": backend.upload(crops)})["target_latents"]
        sample = sample_latents(schedule, evaluate(latents), noise_source(0, shape))
        inputs = {"sample": backend.upload(sample), "target_latents": latents}
        return backend.download(backend.run("decode", inputs)["crop"])

    return swap


def _failed(batch: int, why: str) -> Throughput:
    return Throughput(batch=batch, error=why, crops=0, seconds=0.0, crops_per_s=None)
