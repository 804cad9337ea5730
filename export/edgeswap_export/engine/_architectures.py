"""Check backend, GPUs and precision of engines before anything is built."""

from __future__ import annotations

from collections.abc import Iterable

from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_runtime.bundle.engines import AMPERE_PLUS, JETSONS, RTX, STANDARD

RTX_GPUS = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
"""GPUs that TensorRT for RTX 1.7 builds for: the names of its `ComputeCapability`."""

ENGINE_BACKENDS = (RTX, STANDARD)

_NEEDS = {"fp8": 89, "bf16": 80}
"""Precision -> the least compute capability that has it; the other precisions run everywhere.

NVIDIA, "CUDA C++ Programming Guide", arithmetic of each compute capability: FP8 tensor cores came
with 8.9 (Ada), bfloat16 ones with 8.0 (Ampere).
"""
_GENERATIONS = {80: "Ampere", 89: "Ada"}


def check_backend(backend: str) -> None:
    """Raise UnsupportedEngine unless it is one of ENGINE_BACKENDS."""
    if backend not in ENGINE_BACKENDS:
        raise UnsupportedEngine(
            f"backend '{backend}': expected one of {', '.join(ENGINE_BACKENDS)}"
        )


def check_gpus(backend: str, gpus: tuple[str, ...]) -> None:
    """Refuse GPUs that the backend cannot build for.

    Args:
        backend: one of ENGINE_BACKENDS.
        gpus: such as "sm86", lower case.

    Raises:
        UnsupportedEngine: none or an unknown one for TensorRT for RTX, or any for TensorRT.
    """
    if backend == STANDARD:
        if gpus:
            raise UnsupportedEngine(
                "TensorRT builds for the GPU it runs on: leave --gpu out and build there, or "
                "build ahead of time with --backend tensorrt_rtx"
            )
        return
    if not gpus:
        raise UnsupportedEngine(
            "TensorRT for RTX builds ahead of time: name the GPUs, such as --gpu "
            f"sm86,sm89 of {', '.join(RTX_GPUS)}"
        )
    for gpu in gpus:
        if gpu.upper() in JETSONS:
            raise UnsupportedEngine(
                f"TensorRT for RTX has no {gpu}: a Jetson's engines are built on the Jetson, "
                "with --backend tensorrt"
            )
        if gpu not in RTX_GPUS:
            raise UnsupportedEngine(
                f"TensorRT for RTX has no GPU '{gpu}': expected some of {', '.join(RTX_GPUS)}"
            )


def check_precision(graph: str, precision: str, gpus: Iterable[str]) -> None:
    """Refuse a graph whose precision one of the GPUs cannot compute.

    Args:
        graph: its name.
        precision: as the manifest states it.
        gpus: such as "sm86".

    Raises:
        UnsupportedEngine: naming graph, precision and GPU.
    """
    needed = _NEEDS.get(precision, 0)
    for name in gpus:
        if int(name[2:]) < needed:
            raise UnsupportedEngine(
                f"graph '{graph}' is {precision}, which {name} does not compute: it takes "
                f"sm{needed} ({_GENERATIONS[needed]}) or newer; leave {name} out, or export with "
                "--precision fp16"
            )


def check_compatibility(level: str | None, backend: str, gpu: str | None) -> None:
    """Refuse hardware compatibility where TensorRT has none.

    Args:
        level: "ampere-plus", "same-compute-capability" or None.
        backend: one of ENGINE_BACKENDS.
        gpu: such as "sm86"; None where it is not known yet.

    Raises:
        UnsupportedEngine: the backend or the GPU does not have it.
    """
    if level is None:
        return
    if backend == RTX:
        raise UnsupportedEngine(
            "TensorRT for RTX has no hardware compatibility: name every GPU in --gpu instead"
        )
    if level != AMPERE_PLUS or gpu is None:
        return
    if gpu.upper() in JETSONS or int(gpu[2:]) < 80:
        raise UnsupportedEngine(
            f"hardware compatibility {AMPERE_PLUS} does not include {gpu}: it is for desktop"
            " and server GPUs from sm80 on; leave --hardware-compatibility out"
        )
