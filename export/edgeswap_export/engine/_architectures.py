"""Which GPU can compute what, told before minutes of building are spent."""

from __future__ import annotations

from collections.abc import Iterable

from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_runtime.bundle.engines import AMPERE_PLUS, JETSONS, RTX, STANDARD

RTX_TARGETS = ("SM75", "SM80", "SM86", "SM89", "SM120", "SM121")
"""`ComputeCapability` of TensorRT for RTX 1.7."""

ENGINE_BACKENDS = (RTX, STANDARD)

_NEEDS = {"fp8": 89, "bf16": 80}
"""Precision -> the first compute capability that has it; the others run everywhere.

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


def check_targets(backend: str, targets: tuple[str, ...]) -> None:
    """Refuse targets that the backend cannot build for.

    Raises:
        UnsupportedEngine: none or an unknown one for TensorRT for RTX, or any for TensorRT.
    """
    if backend == STANDARD:
        if targets:
            raise UnsupportedEngine(
                "TensorRT builds for the GPU it runs on: leave --gpu out and build there, or "
                "build ahead of time with --backend tensorrt_rtx"
            )
        return
    if not targets:
        raise UnsupportedEngine(
            "TensorRT for RTX builds ahead of time: name the GPUs, such as --gpu "
            f"SM86,SM89 of {', '.join(RTX_TARGETS)}"
        )
    for target in targets:
        if target in JETSONS:
            raise UnsupportedEngine(
                f"TensorRT for RTX has no {target}: a Jetson's engines are built on the Jetson, "
                "with --backend tensorrt"
            )
        if target not in RTX_TARGETS:
            raise UnsupportedEngine(
                f"TensorRT for RTX has no target '{target}': expected some of "
                f"{', '.join(RTX_TARGETS)}"
            )


def check_precision(graph: str, precision: str, architectures: Iterable[str]) -> None:
    """Refuse a graph that one of the GPUs has no arithmetic for.

    Raises:
        UnsupportedEngine: naming graph, precision and GPU.
    """
    needed = _NEEDS.get(precision, 0)
    for name in architectures:
        if int(name[2:]) < needed:
            raise UnsupportedEngine(
                f"graph '{graph}' is {precision}, which {name} does not compute: it takes "
                f"SM{needed} ({_GENERATIONS[needed]}) or newer; leave {name} out, or export with "
                "--precision fp16"
            )


def check_compatibility(level: str | None, backend: str, architecture: str | None) -> None:
    """Refuse hardware compatibility where there is none.

    Args:
        level: what was asked for, if anything.
        backend: of TensorRT.
        architecture: of the GPU, where it is known.

    Raises:
        UnsupportedEngine: saying why.
    """
    if level is None:
        return
    if backend == RTX:
        raise UnsupportedEngine(
            "TensorRT for RTX has no hardware compatibility: name every GPU in --gpu instead"
        )
    if level != AMPERE_PLUS or architecture is None:
        return
    if architecture in JETSONS or int(architecture[2:]) < 80:
        raise UnsupportedEngine(
            f"hardware compatibility {AMPERE_PLUS} leaves {architecture} out: it is for desktop and"
            " server GPUs from SM80 on; leave --hardware-compatibility out"
        )
