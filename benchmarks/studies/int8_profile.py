"""Where does the time of an int8 graph go, and so why is it not faster than it is?

ONNX Runtime times every kernel of two bundles of one checkpoint, in float32 and in int8, on the
same seeded inputs; the table sums them by kind of kernel, graph by graph. What int8 makes faster
is multiplications; it leaves normalizations, activations and attention as they are, and adds
kernels that quantize and dequantize between the two.

    python benchmarks/studies/int8_profile.py --folder parity      # of parity.py
    python benchmarks/studies/int8_profile.py --folder parity --graph denoise --json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

PRECISIONS = ("fp32", "int8")
KINDS = {
    "multiply": ("Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "Gemm", "FusedGemm", "MatMul",
                 "FusedMatMul", "QGemm", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat",
                 "DynamicQuantizeMatMul", "ConvInteger"),
    "quantize": ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    "reorder": ("ReorderInput", "ReorderOutput", "Transpose", "Reshape", "Concat", "Slice",
                "Split"),
}  # fmt: skip
WARM_UP = 5


def main() -> int:
    """Profile both bundles' graphs, print the table."""
    arguments = parse()
    rows = {
        graph: {p: profile(arguments.folder / p / f"{graph}.onnx", arguments) for p in PRECISIONS}
        for graph in arguments.graph.split(",")
    }
    print(json.dumps(rows) if arguments.json else table(rows, arguments))
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="with bundles fp32 and int8")
    parser.add_argument(
        "--graph",
        default="encode,identity,denoise,decode",
        metavar="NAME,...",
        help="graphs to profile (encode,identity,denoise,decode)",
    )
    parser.add_argument("--runs", type=int, default=50, help="evaluations of each (50)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def profile(model: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Kernel -> milliseconds in one evaluation, the mean of all runs after a warm-up."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = arguments.threads, 1
    options.log_severity_level = 3
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "kernels")
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        random = np.random.default_rng(0)
        feed = {
            value.name: random.standard_normal(value.shape, dtype=np.float32)
            if value.type == "tensor(float)"
            else np.full(value.shape, 500, np.int64)
            for value in session.get_inputs()
        }
        for _ in range(WARM_UP + arguments.runs):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    kernels: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            kernels[event["name"] + "|" + event["args"]["op_name"]].append(event["dur"] / 1e3)
    spent: dict[str, float] = defaultdict(float)
    for name, times in kernels.items():
        calls = len(times) // (WARM_UP + arguments.runs)
        spent[name.split("|")[1]] += sum(times[calls * WARM_UP :]) / arguments.runs
    return {"kernels_ms": dict(sorted(spent.items(), key=lambda item: -item[1]))}


def kind_of(kernel: str) -> str:
    """One of KINDS, or "else"."""
    return next((kind for kind, kernels in KINDS.items() if kernel in kernels), "else")


def table(rows: dict[str, Any], arguments: argparse.Namespace) -> str:
    """Milliseconds by kind; the dearest kernels of int8 besides."""
    kinds = (*KINDS, "else", "all")
    lines = [f"{'graph':<10}{'precision':<11}" + "".join(f"{kind:>10}" for kind in kinds)]
    for graph, both in rows.items():
        for precision, row in both.items():
            sums: dict[str, float] = defaultdict(float)
            for kernel, ms in row["kernels_ms"].items():
                sums[kind_of(kernel)] += ms
                sums["all"] += ms
            cells = "".join(f"{sums[kind]:>10.3f}" for kind in kinds)
            lines.append(f"{graph:<10}{precision:<11}{cells}")
        dearest = list(both["int8"]["kernels_ms"].items())[:6]
        lines.append("  int8: " + ", ".join(f"{kernel} {ms:.3f}" for kernel, ms in dearest))
    lines.append(
        f"ms in kernels, mean of {arguments.runs} evaluations, {arguments.threads} thread(s), ONNX "
        f"Runtime {ort.__version__}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
