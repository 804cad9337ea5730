"""Estimate how long a graph takes on a device, from its nodes and the device's ceilings.

Each kernel takes as long as its multiplications or its bytes need, whichever is more, at a fixed
share of the ceiling, plus what starting it costs. It is an estimate: a device's library may choose
far better or worse kernels. `benchmarks/studies/prediction.py` measures its error on a CPU, where
the ceilings are measured and everything else is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeswap_bench.predict.devices import DEVICES
from edgeswap_runtime.bundle import schema as _schema
from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgeswap_bench.explain.ceilings import Ceilings
    from edgeswap_bench.explain.costs import NodeCost

COMPUTE_SHARE = 0.7
"""Of the multiplication ceiling that a layer reaches."""
BYTES_SHARE = 0.7
"""Of the bandwidth that a kernel reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An estimate, never a measurement.

    Attributes:
        device: a key of `DEVICES`.
        name: the device's name.
        precision: what its published ceiling is for.
        graphs: graph -> milliseconds of one evaluation.
        swap_ms: of an aligned crop of a known source: the target's graphs, all evaluations, decode.
        multiply_share: of that time, what multiplications bound.
        sources: where the ceilings are published.
    """

    device: str
    name: str
    precision: str
    graphs: dict[str, float]
    swap_ms: float
    multiply_share: float
    sources: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        encoded: dict[str, Any] = _schema.encode(self)
        return encoded | {"estimate": True}


def graph_seconds(
    costs: Sequence[NodeCost], ceilings: Ceilings, *, fuses: bool, bytes_scale: float = 1.0
) -> tuple[float, float]:
    """Estimate one evaluation.

    Args:
        costs: of the graph's nodes.
        ceilings: of the device.
        fuses: whether its library runs pointwise nodes inside the kernel before them, as OpenVINO
            and TensorRT do.
        bytes_scale: size of an element there, as a share of its size in the graph.

    Returns:
        Seconds, and the part of them that multiplications bound.
    """
    total = multiplying = 0.0
    for cost in costs:
        if fuses and cost.pointwise:
            continue
        if not cost.bytes:
            continue  # a view
        moved = cost.bytes * bytes_scale
        cached = moved <= ceilings.cache_bytes
        bandwidth = ceilings.cached_bytes_per_s if cached else ceilings.memory_bytes_per_s
        compute = cost.macs / (COMPUTE_SHARE * ceilings.macs_per_s)
        move = moved / (BYTES_SHARE * bandwidth)
        total += max(compute, move) + ceilings.kernel_s
        multiplying += compute if compute >= move else 0.0
    return total, multiplying


def estimate(
    costs: Mapping[str, Sequence[NodeCost]], times: Mapping[str, int], device: str
) -> Estimate:
    """Estimate a bundle on a device that is not here.

    Args:
        costs: graph -> its nodes' costs, of float32 graphs.
        times: graph -> how often it runs in the swap of a face of a known source.
        device: a key of `DEVICES`.

    Raises:
        InvalidRequest: no such device.
    """
    if device not in DEVICES:
        raise InvalidRequest(
            f"there is no device '{device}' to predict for: expected some of {', '.join(DEVICES)}"
        )
    known = DEVICES[device]
    found = {
        name: graph_seconds(each, known.ceilings, fuses=True, bytes_scale=0.5)
        for name, each in costs.items()
    }
    whole = sum(found[name][0] * count for name, count in times.items())
    multiplying = sum(found[name][1] * count for name, count in times.items())
    return Estimate(
        device=device,
        name=known.name,
        precision="fp16",
        graphs={name: 1e3 * seconds for name, (seconds, _) in found.items()},
        swap_ms=1e3 * whole,
        multiply_share=multiplying / whole,
        sources=known.sources,
    )


def parse_devices(text: str) -> tuple[str, ...]:
    """Read "rtx3060,orin-nano".

    Raises:
        InvalidRequest: an unknown device.
    """
    names = tuple(name.strip().lower() for name in text.split(","))
    for name in names:
        if name not in DEVICES:
            raise InvalidRequest(
                f"there is no device '{name}' to predict for: expected some of {', '.join(DEVICES)}"
            )
    return names
