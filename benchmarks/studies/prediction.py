"""How wrong is `edgeswap bench --predict`? Measured where everything but the device is the same.

The graphs of bundles are timed on this CPU, and estimated by the very function that estimates
GPUs, from ceilings that four probes measure here. On OpenVINO pointwise nodes count as fused, as
they do on TensorRT; on ONNX Runtime they do not. The bar: a median error of at most 25 % over at
least ten graphs.

    python benchmarks/studies/prediction.py BUNDLE BUNDLE … --backend openvino
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeswap_bench.explain.costs import graph_costs
from edgeswap_bench.explain.probes import measure_ceilings
from edgeswap_bench.measure.config import SwapOptions
from edgeswap_bench.measure.inputs import seeded_inputs
from edgeswap_bench.predict.predict import graph_seconds
from edgeswap_runtime import Bundle
from edgeswap_runtime.backends import open_backend
from edgeswap_runtime.backends.protocol import BackendRequest


def measure(
    bundle: Bundle, options: SwapOptions, ceilings: Any, runs: int, clock: Callable[[], int]
) -> list[dict[str, Any]]:
    """Every graph of a bundle: milliseconds measured and estimated."""
    request = BackendRequest(graphs=bundle.graph_paths(), device="cpu", threads=options.threads,
                             precision=options.precision, bundle=bundle)  # fmt: skip
    backend = open_backend(options.backend, request)
    rows = []
    for name, graph in bundle.manifest.graphs.items():
        inputs = {k: backend.upload(v) for k, v in seeded_inputs(graph).items()}
        times = []
        for _ in range(runs + 5):
            start = clock()
            backend.run(name, inputs)
            times.append((clock() - start) / 1e6)
        measured = statistics.median(times[5:])
        costs = graph_costs(bundle.graph_paths()[name], graph)
        fuses = options.backend == "openvino"
        estimated = 1e3 * graph_seconds(costs, ceilings, fuses=fuses)[0]
        rows.append({"bundle": bundle.manifest.name, "graph": name, "measured_ms": measured,
                     "estimated_ms": estimated, "error": estimated / measured - 1})  # fmt: skip
    backend.close()
    return rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path, help="bundle folders")
    parser.add_argument(
        "--backend", choices=("ort", "openvino"), default="ort", help="to measure on (ort)"
    )
    parser.add_argument("--precision", help="of OpenVINO: fp32 (default) or bf16")
    parser.add_argument("--threads", type=int, help="CPU threads (all)")
    parser.add_argument("--runs", type=int, default=50, help="evaluations of each (50)")
    parser.add_argument("--cpu-time", action="store_true",
                        help="with --threads 1: processor time, for a busy machine")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    options = SwapOptions(backend=given.backend, precision=given.precision, threads=given.threads)
    if given.cpu_time and given.threads != 1:
        parser.error("--cpu-time needs --threads 1")
    clock = time.process_time_ns if given.cpu_time else time.perf_counter_ns
    ceilings = measure_ceilings(options, seconds=1.0)
    print(ceilings, file=sys.stderr)
    rows = []
    for path in given.bundles:
        rows += measure(Bundle.open(path), options, ceilings, given.runs, clock)
    middle = statistics.median(abs(row["error"]) for row in rows)
    if given.json:
        print(json.dumps({"rows": rows, "median_error": middle}))
        return 0
    for row in rows:
        print(f"{row['bundle'] + ', ' + row['graph']:30}{row['measured_ms']:9.2f} ms measured"
              f"{row['estimated_ms']:9.2f} estimated{100 * row['error']:+8.0f} %")  # fmt: skip
    print(f"median error {100 * middle:.0f} % of {len(rows)} graphs (wanted: 25 % of 10 or more)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
