"""Measure throughput: many aligned crops in batches, MLPerf's Offline scenario."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_bench.measure.inputs import largest_batch, seeded_inputs
from edgeswap_bench.measure.results import Throughput
from edgeswap_runtime import EdgeswapError
from edgeswap_runtime.bundle.roles import output_role
from edgeswap_runtime.bundle.run_order import DECODE, DENOISE, ENCODE, find_run_order
from edgeswap_runtime.errors import EdgeswapFailure
from edgeswap_runtime.sampler import TargetLatents, noise_source, sample_latents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from edgeswap_bench.measure.config import BenchConfig
    from edgeswap_runtime.backends.protocol import Backend
    from edgeswap_runtime.bundle.manifest import Graph, Manifest, Schedule

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
    names = (*find_run_order(manifest.graphs).per_target, DENOISE, DECODE)
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
    """One swap of a whole batch, as a function; the identities are held on the device."""
    graphs, order = manifest.graphs, find_run_order(manifest.graphs)
    drawn = _drawn(graphs, (*order.per_target, DENOISE, DECODE), batch)
    pictures = {role: drawn[role] for role in order.target_roles}
    made = ("sample", "timestep", *pictures)
    fixed = {role: backend.upload(array) for role, array in drawn.items() if role not in made}

    def run(name: str, held: dict[str, Any]) -> None:
        inputs = {tensor.name: held[tensor.role] for tensor in graphs[name].inputs}
        for tensor, buffer in backend.run(name, inputs).items():
            held[output_role(name, tensor)] = buffer

    def swap() -> NDArray[Any]:
        held = {**fixed, **{role: backend.upload(array) for role, array in pictures.items()}}
        for name in order.per_target:
            run(name, held)

        def denoise(sample: NDArray[np.float32], timestep: float) -> NDArray[np.float32]:
            times = np.full(drawn["timestep"].shape, timestep, np.float32)
            held["sample"], held["timestep"] = backend.upload(sample), backend.upload(times)
            run(DENOISE, held)
            return backend.download(held[output_role(DENOISE, "output")])

        def seen(name: str) -> NDArray[Any]:
            return backend.download(held[output_role(ENCODE, name)])

        target = None
        if schedule.needs_target:
            mask = seen("latent_mask") if schedule.blends else None
            target = TargetLatents(seen("target_latents"), mask)
        draw = noise_source(0, drawn["sample"].shape)
        held["sample"] = backend.upload(sample_latents(schedule, denoise, draw, target=target))
        run(DECODE, held)
        return backend.download(held[output_role(DECODE, "crop")])

    return swap


def _drawn(
    graphs: Mapping[str, Graph], names: Iterable[str], batch: int
) -> dict[str, NDArray[Any]]:
    """Seeded arrays by role, for everything that fills inputs of these graphs."""
    found: dict[str, NDArray[Any]] = {}
    for name in names:
        arrays = seeded_inputs(graphs[name], batch)
        for tensor in graphs[name].inputs:
            found.setdefault(tensor.role, arrays[tensor.name])
    return found


def _failed(batch: int, why: str) -> Throughput:
    return Throughput(batch=batch, error=why, crops=0, seconds=0.0, crops_per_s=None)
