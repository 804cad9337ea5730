"""Published ceilings of devices that are not at hand, each with its source.

Multiplications are of float16 with float32 accumulation on tensor cores, dense. One
multiply-accumulate counts as two operations in makers' figures, so MAC/s = FLOPS / 2. Jetson
modules state sparse INT8 only: dense FP16 is a quarter of that. Cache bandwidth is not published;
it is taken as four times the memory's. Starting a kernel inside a CUDA graph is taken as 2 µs (4 µs
on a Jetson). Both are assumptions, not figures that anybody published.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_bench.explain.ceilings import Ceilings

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device as its maker describes it.

    Attributes:
        name: the maker's.
        ceilings: what it can do at most.
        sources: where that is published.
    """

    name: str
    ceilings: Ceilings
    sources: tuple[str, ...]


def _device(
    name: str, tflops: float, gb_per_s: float, l2_mib: int, kernel_us: float, *sources: str
) -> Device:
    return Device(
        name=name,
        ceilings=Ceilings(
            macs_per_s=tflops * 1e12 / 2,
            cached_bytes_per_s=4 * gb_per_s * 1e9,
            memory_bytes_per_s=gb_per_s * 1e9,
            kernel_s=kernel_us * 1e-6,
            cache_bytes=l2_mib * _MIB,
        ),
        sources=sources,
    )


DEVICES: dict[str, Device] = {
    "orin-nano": _device(
        "Jetson Orin Nano 8 GB", 40 / 4, 68, 2, 4,
        "NVIDIA, Jetson Orin Nano series data sheet: 40 sparse INT8 TOPS, 68 GB/s",
    ),
    "orin-nano-super": _device(
        "Jetson Orin Nano 8 GB, Super mode", 67 / 4, 102, 2, 4,
        "NVIDIA, Jetson Orin Nano Super Developer Kit data sheet: 67 sparse INT8 TOPS, 102 GB/s",
    ),
    "agx-orin": _device(
        "Jetson AGX Orin 64 GB", 170 / 4, 204.8, 4, 4,
        "NVIDIA, Jetson AGX Orin series technical brief: GPU 170 sparse INT8 TOPS, 204.8 GB/s",
    ),
    "rtx3060": _device(
        "GeForce RTX 3060 12 GB", 25.5, 360, 3, 2,
        "NVIDIA, GA102 architecture whitepaper: 512 FLOP a clock and SM (FP32 accumulation); "
        "28 SM at 1.777 GHz, 360 GB/s",
    ),
    "rtx4070": _device(
        "GeForce RTX 4070", 58.3, 504, 36, 2,
        "NVIDIA, Ada architecture whitepaper: 512 FLOP a clock and SM (FP32 accumulation); "
        "46 SM at 2.475 GHz, 504 GB/s",
    ),
    "rtx4090": _device(
        "GeForce RTX 4090", 165.2, 1008, 72, 2,
        "NVIDIA, Ada architecture whitepaper, appendix A: 165.2 TFLOPS (FP32 accumulation), "
        "1008 GB/s",
    ),
}  # fmt: skip
"""What `--predict` takes -> what is published of it."""
