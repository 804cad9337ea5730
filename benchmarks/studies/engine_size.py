"""Does a plan for an 860 M parameter U-Net build ahead of time, and in how much time and memory?

The U-Net of Stable Diffusion 1.5 inpainting, with random weights, exported to float16 with its
weights in a file beside the graph (by benchmarks/studies/export_size.py, whose folder is used).
TensorRT for RTX builds one plan for sm86, sm89 and sm120, in a fresh process that imports neither
torch nor onnx. The row is wall time and the process's peak resident memory; the bars are 60 s and
9 GB. Nothing here runs on a GPU.

    python benchmarks/studies/engine_size.py --folder size
    python benchmarks/studies/engine_size.py --width 64 --folder small    # a tenth, to try it
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from fresh_process import measure_step
from stable_diffusion import WIDTH

GPUS = ("sm86", "sm89", "sm120")
BARS = {"seconds": 60.0, "peak_rss_gb": 9.0}


def main() -> int:
    """Export where that is missing, build, print the row."""
    arguments = parse()
    if arguments.step:
        print(json.dumps(build(arguments.folder)))
        return 0
    if not (arguments.folder / "onnx").is_dir():
        script = Path(__file__).with_name("export_size.py")
        command = [sys.executable, str(script), "--folder", str(arguments.folder)]
        subprocess.run([*command, "--width", str(arguments.width)], check=True, stdout=sys.stderr)
    row = measure_step(__file__, ["--folder", str(arguments.folder)], "build")
    if "failed" in row:
        print(f"failed: {row['failed']}")
        return 1
    print(json.dumps(row) if arguments.json else table(row))
    return 0 if all(row[name] <= bar for name, bar in BARS.items()) else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="of export_size.py")
    parser.add_argument("--width", type=int, default=WIDTH, help="of the first level's channels")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", choices=("build",), help=argparse.SUPPRESS)
    return parser.parse_args()


def build(folder: Path) -> dict[str, Any]:
    """One plan, written to disk."""
    from edgeswap_export.engine import EngineRequest, build_engine
    from edgeswap_runtime.backends.tensorrt import load_library
    from edgeswap_runtime.files import write_bytes

    trt = load_library("tensorrt_rtx")
    onnx = folder / "onnx" / "denoise.onnx"
    plan = build_engine(trt, EngineRequest(name="denoise", onnx=onnx, gpus=GPUS))
    write_bytes(folder / "denoise.plan", plan.data)
    weights = onnx.with_name(f"{onnx.name}.data")
    return {
        "targets": list(GPUS),
        "version": trt.__version__,
        "onnx_bytes": sum(f.stat().st_size for f in (onnx, weights) if f.is_file()),
        "external_weights": weights.is_file(),
        "plan_bytes": memoryview(plan.data).nbytes,
        "plan_sha256": plan.sha256,
        "layers": plan.layers,
        "imported": sorted({"torch", "onnx"} & set(sys.modules)),
    }


def table(row: dict[str, Any]) -> str:
    """The row, its bars beside it."""
    within = all(row[name] <= bar for name, bar in BARS.items())
    place = "beside the graph" if row["external_weights"] else "in it"
    return "\n".join(
        [
            f"plan for {', '.join(row['targets'])} with TensorRT for RTX {row['version']}",
            f"  {row['seconds']:.1f} s (bar {BARS['seconds']:.0f}), peak {row['peak_rss_gb']:.2f} "
            f"GB (bar {BARS['peak_rss_gb']:.0f}): {'within' if within else 'NOT WITHIN'}",
            f"  graph {row['onnx_bytes'] / 1e9:.2f} GB, weights {place}; plan "
            f"{row['plan_bytes'] / 1e9:.2f} GB, {row['layers']} layers",
            f"  plan sha256 {row['plan_sha256']}",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
