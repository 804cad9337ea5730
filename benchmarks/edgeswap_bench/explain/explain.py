"""Explain one graph: where its time goes, how near that is to the machine's limit, what to try."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeswap_bench._statistics import Timing
from edgeswap_bench.explain.ceilings import Ceilings
from edgeswap_bench.explain.costs import NodeCost, graph_costs
from edgeswap_bench.explain.limits import judge_limit, kind_of
from edgeswap_bench.explain.probes import higher, measure_ceilings
from edgeswap_bench.measure.inputs import seeded_inputs
from edgeswap_runtime.backends.profiling import LayerTime, profile_openvino, profile_ort
from edgeswap_runtime.bundle import schema as _schema
from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeswap_bench.measure.bundle_subject import BundleSubject

_RUNS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of the network.

    Attributes:
        name: such as "down_blocks.0.resnets.1".
        milliseconds: of its kernels.
        macs: multiply-accumulates.
        bytes: read and written by its nodes, if each ran by itself.
    """

    name: str
    milliseconds: float
    macs: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where one graph's time goes.

    Attributes:
        subject: label of the bundle.
        graph: its name.
        measured_ms: median of whole runs with the profiler off.
        kernels_ms: sum of the kernels' medians with the profiler on.
        macs: multiply-accumulates of one run.
        bytes: read and written, if each node ran by itself.
        intensity: macs / bytes.
        ideal_ms: the least the measured ceilings allow for the multiplications alone, or for the
            bytes of weights, inputs and outputs alone, whichever is more.
        share: ideal_ms / measured_ms.
        ceilings: measured in the same run with the same backend and settings.
        kinds: "multiply", "pointwise", "normalize", "layout", … -> milliseconds.
        blocks: by name, in the order of the network.
        layers: the ten slowest kernels, (name, kind, milliseconds).
        limit: what holds it back, in words.
        advice: what to try, the most promising first.
    """

    subject: str
    graph: str
    measured_ms: float
    kernels_ms: float
    macs: int
    bytes: int
    intensity: float
    ideal_ms: float
    share: float
    ceilings: Ceilings
    kinds: dict[str, float]
    blocks: tuple[Block, ...]
    layers: tuple[tuple[str, str, float], ...]
    limit: str
    advice: tuple[str, ...]

    @property
    def multiply_ms(self) -> float:
        """Of the kernels that multiply."""
        return self.kinds.get("multiply", 0.0) + self.kinds.get("attention", 0.0)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        encoded: dict[str, Any] = _schema.encode(self)
        return encoded


def explain(subject: BundleSubject, graphs: Sequence[str] = ()) -> tuple[Explanation, ...]:
    """Profile a bundle's graphs on its own backend.

    Args:
        subject: a bundle on "ort" on the CPU, or on "openvino".
        graphs: which; all but the detector when empty.

    Raises:
        InvalidRequest: the backend has no profiler that is known here.
        ModuleNotFoundError: onnxruntime, which tells the shapes, is not installed.
    """
    options = subject.options
    require_profiler(options.backend, options.device)
    ceilings = measure_ceilings(options)
    names = graphs or [name for name in subject.bundle.manifest.graphs if name != "detector"]
    found = tuple(_explain_graph(subject, name, ceilings) for name in names)
    if all(one.ideal_ms <= one.multiply_ms for one in found):
        return found
    # Faster than the ceiling: something else was busy while that was measured.
    ceilings = higher(ceilings, measure_ceilings(options))
    return tuple(_explain_graph(subject, name, ceilings) for name in names)


def require_profiler(backend: str, device: str) -> None:
    """Check that a backend can be profiled on a device.

    Raises:
        InvalidRequest: it cannot.
    """
    if (backend, device) != ("ort", "cpu") and backend != "openvino":
        raise InvalidRequest(
            f"--explain cannot profile {backend} on {device}: expected --backend ort on cpu, or "
            "--backend openvino"
        )


def _explain_graph(subject: BundleSubject, name: str, ceilings: Ceilings) -> Explanation:
    manifest, path = subject.bundle.manifest, subject.bundle.graph_paths()[name]
    graph, options = manifest.graphs[name], subject.options
    costs = graph_costs(path, graph)
    arrays = seeded_inputs(graph)
    if options.backend == "ort":
        layers = profile_ort(path, arrays, threads=options.threads, runs=_RUNS)
    else:
        layers = profile_openvino(path, arrays, device=options.device, threads=options.threads,
                                  precision=options.precision, runs=_RUNS)  # fmt: skip
    measured = _whole_ms(subject, name)
    macs, moved = sum(cost.macs for cost in costs), sum(cost.bytes for cost in costs)
    kinds: dict[str, float] = {}
    for layer in layers:
        kind = kind_of(layer.kind)
        kinds[kind] = kinds.get(kind, 0.0) + layer.milliseconds
    kernels = sum(kinds.values())
    ideal = 1e3 * max(macs / ceilings.macs_per_s, _least_bytes(costs) / ceilings.memory_bytes_per_s)
    limit, advice = judge_limit(kinds, measured, ideal, options.precision or graph.precision)
    return Explanation(
        subject=subject.label,
        graph=name,
        measured_ms=measured,
        kernels_ms=kernels,
        macs=macs,
        bytes=moved,
        intensity=macs / max(moved, 1),
        ideal_ms=ideal,
        share=ideal / measured,
        ceilings=ceilings,
        kinds=dict(sorted(kinds.items(), key=lambda item: -item[1])),
        blocks=fold(layers, costs),
        layers=tuple(
            (layer.name, layer.kind, layer.milliseconds)
            for layer in sorted(layers, key=lambda layer: -layer.milliseconds)[:10]
        ),
        limit=limit,
        advice=advice,
    )


def fold(layers: Sequence[LayerTime], costs: Sequence[NodeCost]) -> tuple[Block, ...]:
    """Fold kernels into the network's blocks.

    A kernel belongs to the block of the last of its nodes; one that the backend made up, such as
    a change of layout, belongs to the block of the kernel after it.

    Args:
        layers: in the order in which they run, or close to it.
        costs: of the graph's nodes.
    """
    home = {name: cost.block for cost in costs for name in (*cost.outputs, cost.name)}
    times: dict[str, float] = dict.fromkeys((cost.block for cost in costs), 0.0)
    following = "(none)"
    for layer in reversed(layers):
        found = [home[n] for n in (*layer.nodes, *_stems(layer.name)) if n in home]
        following = found[-1] if found else following
        times[following] = times.get(following, 0.0) + layer.milliseconds
    return tuple(
        Block(
            name=name,
            milliseconds=spent,
            macs=sum(cost.macs for cost in costs if cost.block == name),
            bytes=sum(cost.bytes for cost in costs if cost.block == name),
        )
        for name, spent in times.items()
    )


def _whole_ms(subject: BundleSubject, name: str) -> float:
    """The median of whole runs, the profiler off."""
    arrays = seeded_inputs(subject.bundle.manifest.graphs[name])
    inputs = {key: subject.backend.upload(array) for key, array in arrays.items()}
    found = []
    for _ in range(3 + 3 * _RUNS):
        start = time.perf_counter_ns()
        subject.backend.run(name, inputs)
        found.append(time.perf_counter_ns() - start)
    return Timing.of(found[3:]).median


def _least_bytes(costs: Sequence[NodeCost]) -> int:
    """What must be read at least: the weights of everything that multiplies."""
    return sum(cost.read_bytes for cost in costs if cost.macs)


def _stems(name: str) -> list[str]:
    """Names of nodes and tensors that a backend's name may be made of."""
    plain = re.sub(r"(_nchwc|_token_\d+)+$", "", name)
    first = plain.split("/")[0]
    return [f"node_{first}", f"node_{plain}", first, plain]
