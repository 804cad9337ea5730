"""Do a bundle's engines compute on this GPU what ONNX Runtime computes on the CPU, and how fast?

The one check that needs the hardware. Engines that fit this GPU are built where the bundle has
none, into a new bundle beside it. Then each graph gets the same seeded inputs on both backends, and
the swap of two packaged portraits, shrunk to the crop's size, is compared in 8-bit levels and
timed, interleaved. The tolerances are those of the graphs' precisions, in standard deviations of
the output: 1e-3 for fp32, 0.05 for fp16, 0.1 for bf16, 0.5 for int8 and fp8.

    python benchmarks/studies/engine_parity.py BUNDLE --backend tensorrt_rtx
    python benchmarks/studies/engine_parity.py BUNDLE --backend tensorrt --runs 200

Without a driver it ends with one line and exit code 2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import edgeswap_runtime
from edgeswap_export.engine import EngineConfig, engine
from edgeswap_runtime import Bundle, EdgeswapError, Swapper
from edgeswap_runtime.backends import open_backend
from edgeswap_runtime.backends.cuda import require_gpu
from edgeswap_runtime.backends.protocol import BackendRequest
from edgeswap_runtime.bundle.engines import RTX, STANDARD
from edgeswap_runtime.errors import EngineMissing

PORTRAITS = Path(edgeswap_runtime.__path__[0]) / "portraits"
TOLERANCES = {"fp32": 1e-3, "fp16": 5e-2, "bf16": 0.1, "int8": 0.5, "fp8": 0.5}
"""Precision of a graph -> largest difference, in standard deviations of the output."""


def main() -> int:
    """Build, run, compare, print."""
    arguments = parse()
    try:
        bundle = with_engines(arguments.bundle, arguments.backend)
        rows = graphs(bundle, arguments.backend)
        swap = whole_swap(bundle, arguments.backend, arguments.runs)
    except EdgeswapError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps({"graphs": rows, "swap": swap}) if arguments.json else table(rows, swap))
    return 0 if all(row["within"] for row in rows) else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="a bundle folder")
    parser.add_argument(
        "--backend",
        choices=("tensorrt", "tensorrt_rtx"),
        required=True,
        help="whose engines are built and run",
    )
    parser.add_argument("--runs", type=int, default=50, help="timed swaps (default 50)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def with_engines(path: Path, backend: str) -> Bundle:
    """The bundle, or the same with engines for this GPU."""
    from cuda.bindings import runtime as cuda

    gpu = require_gpu(cuda, 0)
    bundle = Bundle.open(path)
    try:
        request = BackendRequest(graphs=bundle.graph_paths(), device="cuda", bundle=bundle)
        open_backend(backend, request).close()
        return bundle
    except EngineMissing:
        pass
    out = path.with_name(f"{path.name}-{backend}-{gpu.architecture}")
    rtx = backend == "tensorrt_rtx"
    config = EngineConfig(backend=RTX if rtx else STANDARD, gpus=(gpu.architecture,) if rtx else ())
    if not out.is_dir():
        engine(path, config, out, progress=lambda line: print(line, file=sys.stderr))
    return Bundle.open(out)


def graphs(bundle: Bundle, backend: str) -> list[dict[str, Any]]:
    """Each graph on both backends, on the same inputs."""
    random = np.random.default_rng(0)
    names = [name for name in bundle.manifest.graphs if name != "detector"]
    paths = {name: bundle.graph_paths()[name] for name in names}
    opened = {
        "ort": open_backend("ort", BackendRequest(graphs=paths, device="cpu")),
        backend: open_backend(backend, BackendRequest(graphs=paths, device="cuda", bundle=bundle)),
    }
    rows = []
    for name in names:
        graph = bundle.manifest.graphs[name]
        arrays = {}
        for tensor in graph.inputs:
            shape = tuple(size if isinstance(size, int) else 1 for size in tensor.shape)
            arrays[tensor.name] = random.normal(0, 0.5, shape).astype(tensor.dtype)
        found = {}
        for key, running in opened.items():
            inputs = {k: running.upload(v) for k, v in arrays.items()}
            outputs = running.run(name, inputs)
            found[key] = {k: running.download(v) for k, v in outputs.items()}
        worst = max(
            float(np.abs(found[backend][k] - v).max() / max(float(v.std()), 1e-6))
            for k, v in found["ort"].items()
        )
        within = worst <= TOLERANCES[graph.precision]
        rows.append({"graph": name, "precision": graph.precision, "worst": worst, "within": within})
    for running in opened.values():
        running.close()
    return rows


def whole_swap(bundle: Bundle, backend: str, runs: int) -> dict[str, Any]:
    """One crop on both backends: difference in 8-bit levels, medians in milliseconds."""
    side = bundle.manifest.resolution_px
    source, crop = (
        np.array(Image.open(PORTRAITS / f"{name}-1.png").convert("RGB").resize((side, side)))
        for name in ("source", "target")
    )
    with (
        Swapper.open(bundle, backend="ort", device="cpu") as slow,
        Swapper.open(bundle, backend=backend, device="cuda") as fast,
    ):
        both = {"ort": slow, backend: fast}
        identities = {key: swapper.identity_of_crops([source]) for key, swapper in both.items()}
        times: dict[str, list[float]] = {key: [] for key in both}
        results = {}
        for turn in range(runs + 5):
            for key, swapper in both.items():
                begun = time.perf_counter_ns()
                results[key] = swapper.swap_crop(crop, identities[key])
                if turn >= 5:
                    times[key].append((time.perf_counter_ns() - begun) / 1e6)
    difference = np.abs(results["ort"].astype(int) - results[backend].astype(int))
    return {
        "worst_level": int(difference.max()),
        "mean_level": float(difference.mean()),
        "median_ms": {key: statistics.median(values) for key, values in times.items()},
        "n": runs,
    }


def table(rows: list[dict[str, Any]], swap: dict[str, Any]) -> str:
    """A line a graph, and one of the swap."""
    lines = [
        f"{row['graph']:<10}{row['precision']:<6}{row['worst']:.1e} standard deviations, "
        f"{'within' if row['within'] else 'NOT WITHIN'} {TOLERANCES[row['precision']]}"
        for row in rows
    ]
    told = ", ".join(f"{key} {value:.2f} ms" for key, value in swap["median_ms"].items())
    lines.append(
        f"swap      at most {swap['worst_level']} of 255 levels, {swap['mean_level']:.3f} on "
        f"average; {told} (medians of {swap['n']})"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
