"""Report this machine and what of edgeswap it can run, as plain data; never crash."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

_CPU_FLAGS = {
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    "vnni": ("avx512_vnni", "avx_vnni"),
    "bf16": ("avx512_bf16", "amx_bf16", "bf16"),
    "amx": ("amx_tile",),
    "neon_dot": ("asimddp",),
    "i8mm": ("i8mm",),
}
"""What we call it -> the flags of /proc/cpuinfo (x86 and ARM) that mean it."""

_DISTRIBUTIONS = {
    "onnxruntime": (
        "onnxruntime-gpu",
        "onnxruntime",
        "onnxruntime-openvino",
        "onnxruntime-directml",
    ),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-lean"),
    "tensorrt_rtx": ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt_rtx"),
}
"""Inference library -> the distributions that may bring it, the more capable first."""

_EXTRAS = {
    "ort": ("onnxruntime",),
    "openvino": ("openvino",),
    "trt": ("cuda.bindings",),
    "rtx": ("tensorrt_rtx", "cuda.bindings"),
    "data": ("moderngl", "scipy", "rich"),
    "compress": ("torch", "diffusers", "torch_pruning", "safetensors", "rich"),
    "export": ("torch", "diffusers", "onnx", "onnxscript", "onnxruntime"),
}
"""Extra -> the modules it brings."""

# Loading a CUDA library may end the process where the driver does not fit: so, in another one.
_GPU_PROBE = """
import json
from cuda.bindings import runtime
status, count = runtime.cudaGetDeviceCount()
devices = []
for index in range(count or 0):
    status, device = runtime.cudaGetDeviceProperties(index)
    devices.append({"name": device.name.decode(), "memory_bytes": device.totalGlobalMem,
                    "compute_capability": f"{device.major}.{device.minor}"})
print(json.dumps({"status": status.name, "devices": devices}))
"""
_PROBE_TIMEOUT_S = 30


def examine() -> dict[str, Any]:
    """Examine the machine.

    Returns:
        JSON-ready: edgeswap, python, system, cpu, memory_bytes, jetson, gpu, backends, extras, and
        `advice`, a list of {"missing", "type"}.
    """
    report: dict[str, Any] = {
        "edgeswap": _version("edgeswap"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "numpy": _version("numpy"),
        "pillow": _version("pillow"),
        "cpu": cpu(Path("/proc/cpuinfo")),
        "memory_bytes": memory_bytes(Path("/proc/meminfo")),
        "jetson": jetson(Path("/etc/nv_tegra_release")),
        "gpu": gpu(),
        "backends": backends(),
        "extras": {extra: not missing_modules(names) for extra, names in _EXTRAS.items()},
    }
    for name in ("tensorrt", "tensorrt_rtx"):
        report["backends"][name]["engines"] = engines(name, report)
    report["advice"] = advise(report)
    return report


def cpu(cpuinfo: Path) -> dict[str, Any]:
    """Return the processor's model, usable cores, and instruction sets that matter here."""
    from edgeswap_runtime.backends.instructions import processor_flags

    fields: dict[str, str] = {}
    for line in _text(cpuinfo).splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = processor_flags(cpuinfo)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "model": fields.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "instructions": [name for name, any_of in _CPU_FLAGS.items() if flags & set(any_of)],
    }


def memory_bytes(meminfo: Path) -> dict[str, int | None]:
    """Return total and available memory in bytes; None where the system does not tell."""
    found: dict[str, int] = {}
    for line in _text(meminfo).splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[0].isdigit() and words[1] == "kB":
            found[key] = int(words[0]) * 1024
    return {"total": found.get("MemTotal"), "available": found.get("MemAvailable")}


def jetson(release: Path) -> str | None:
    """Return the L4T release line of a Jetson; None elsewhere."""
    return next(iter(_text(release).splitlines()), "").lstrip("# ") or None


def gpu() -> dict[str, Any]:
    """Ask CUDA about its devices, through cuda-bindings, in a separate process.

    Returns:
        `driver`: the NVIDIA kernel driver's version or None; `status`: "cudaSuccess", CUDA's own
        error name, or why it could not be asked; `devices`: name, memory and compute capability.
    """
    banner = _text(Path("/proc/driver/nvidia/version")).splitlines()
    words = banner[0].split() if banner else []
    driver = next((word for word in words if word[0].isdigit() and "." in word), None)
    answer: dict[str, Any] = {"driver": driver, "devices": []}
    if missing_modules(("cuda", "cuda.bindings")):
        return answer | {"status": "cuda-bindings is not installed"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _GPU_PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return answer | {"status": f"the probe did not finish ({error})"}
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return answer | {"status": f"the probe failed ({last})"}
    found: dict[str, Any] = json.loads(done.stdout)
    return answer | found


def backends() -> dict[str, dict[str, Any]]:
    """Return the inference libraries: versions, ONNX Runtime's providers, OpenVINO's devices.

    A provider in the list is not yet one that works: opening a bundle on a device reads back what
    was granted.
    """
    found: dict[str, dict[str, Any]] = {}
    for library, distributions in _DISTRIBUTIONS.items():
        installed = [name for name in distributions if _version(name) is not None]
        found[library] = {
            "distribution": installed[0] if installed else None,
            "version": _version(installed[0]) if installed else None,
        }
    found["onnxruntime"]["providers"] = (
        _ort_providers() if not missing_modules(("onnxruntime",)) else []
    )
    found["openvino"] |= _openvino_facts() if not missing_modules(("openvino",)) else {}
    return found


def engines(backend: str, report: dict[str, Any]) -> str:
    """Say in a few words what a TensorRT backend can do here."""
    if report["backends"][backend]["version"] is None:
        return "none"
    if report["gpu"]["devices"]:
        return "builds and runs"
    status = report["gpu"]["status"]
    ahead = "builds ahead of time, " if backend == "tensorrt_rtx" else ""
    return f"{ahead}runs none: {status}"


def missing_modules(names: tuple[str, ...]) -> list[str]:
    """Return the modules that are not installed, without importing any."""
    missing = []
    for name in names:
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:  # a parent package is missing
            spec = None
        if spec is None:
            missing.append(name)
    return missing


def advise(report: dict[str, Any]) -> list[dict[str, str]]:
    """List what is missing, and the command that installs it."""
    advice = []
    if report["backends"]["onnxruntime"]["version"] is None:
        advice.append(_tip("a backend that runs bundles", "python -m pip install 'edgeswap[ort]'"))
    has_gpu = bool(report["gpu"]["driver"] or report["gpu"]["devices"] or report["jetson"])
    providers = report["backends"]["onnxruntime"]["providers"]
    if has_gpu and "CUDAExecutionProvider" not in providers:
        advice.append(
            _tip(
                "ONNX Runtime on the GPU",
                "python -m pip uninstall -y onnxruntime && python -m pip install onnxruntime-gpu",
            )
        )
    if has_gpu and missing_modules(("cuda", "cuda.bindings")):
        advice.append(_tip("asking CUDA about the GPU", "python -m pip install 'edgeswap[trt]'"))
    if report["jetson"] and report["backends"]["tensorrt"]["version"] is None:
        advice.append(_tip("TensorRT", "sudo apt-get install python3-libnvinfer"))
    if report["gpu"]["devices"] and not report["extras"]["rtx"] and not report["jetson"]:
        advice.append(_tip("TensorRT for RTX", "python -m pip install 'edgeswap[rtx]'"))
    uses = {
        "data": "edgeswap data",
        "compress": "edgeswap train, prune, distill, evaluate",
        "export": "edgeswap export",
    }
    for extra, use in uses.items():
        if not report["extras"][extra]:
            advice.append(_tip(use, f"python -m pip install 'edgeswap[{extra}]'"))
    return advice


def _tip(missing: str, command: str) -> dict[str, str]:
    return {"missing": missing, "type": command}


def _ort_providers() -> list[str]:
    try:
        import onnxruntime
    except ImportError:  # installed, but a library it needs is not
        return []
    return list(onnxruntime.get_available_providers())


def _openvino_facts() -> dict[str, Any]:
    """Return OpenVINO's devices, and the precisions that the CPU computes in natively."""
    try:
        import openvino as ov

        from edgeswap_runtime.backends.openvino import PRECISIONS
    except ImportError:
        return {"devices": [], "precisions": []}
    core = ov.Core()
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {
        "devices": [str(name).lower() for name in core.available_devices],
        "precisions": [name for name, (_, needs) in PRECISIONS.items() if needs in able],
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not this kind of system
        return ""
