"""How long does a U-Net of the size of Stable Diffusion 1.5's take to export, and how much memory?

The inpainting U-Net of Stable Diffusion 1.5 (9 input channels, 860 M parameters) is made with
random weights, and then, each in a fresh process:

- exported to float16 by `edgeswap export` (torch, ONNX, onnx's checker, parity with torch);
- loaded by ONNX Runtime and evaluated once at its own size, 64 x 64 latents and 77 tokens.

Each row is wall time, processor time and the process's peak resident memory, imports included. The
bars are 60 s and 9 GB each; on a machine that does other work too, wall time says little and the
load is told. The second row's one evaluation is in its time.

    python benchmarks/studies/export_size.py --folder size
    python benchmarks/studies/export_size.py --width 64 --folder small    # a tenth, to try it
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from fresh_process import measure_step
from stable_diffusion import WIDTH, random_unet

BARS = {"seconds": 60.0, "peak_rss_gb": 9.0}


def main() -> int:
    """Make the U-Net where it is missing, measure, print the table."""
    arguments = parse()
    if arguments.step is not None:
        work = {"make": make, "export": export, "load": load}[arguments.step]
        print(json.dumps(work(arguments.folder, arguments)))
        return 0
    unet = arguments.folder / "unet"
    rows = []
    if not unet.is_dir():
        in_a_fresh_process(arguments, "make")
    for step in ("export", "load"):
        if (arguments.folder / f"{step}.json").is_file():
            row = json.loads((arguments.folder / f"{step}.json").read_text())
        else:
            row = in_a_fresh_process(arguments, step)
            (arguments.folder / f"{step}.json").write_text(json.dumps(row))
        rows.append(row)
    print(json.dumps(rows) if arguments.json else table(rows))
    return 0 if all("failed" not in row for row in rows) else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="kept between runs")
    parser.add_argument("--width", type=int, default=WIDTH, help="of the first level's channels")
    parser.add_argument("--precision", choices=("fp16", "fp32"), default="fp16")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", choices=("make", "export", "load"), help=argparse.SUPPRESS)
    return parser.parse_args()


def in_a_fresh_process(arguments: argparse.Namespace, step: str) -> dict[str, Any]:
    """Run one step of this script by itself; what it printed, or why it failed."""
    line = ["--folder", str(arguments.folder), "--width", str(arguments.width),
            "--precision", arguments.precision]  # fmt: skip
    return measure_step(__file__, line, step)


def make(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Random float16 weights in diffusers' layout; not measured."""
    unet = random_unet(arguments.width)
    unet.save_pretrained(folder / "unet")
    return {"parameters": sum(p.numel() for p in unet.parameters())}


def export(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """What `edgeswap export UNET_FOLDER OUT` does, imports included."""
    from edgeswap_export import ExportConfig, GraphsConfig
    from edgeswap_export.unet import export_unet

    marks: list[tuple[str, float]] = []
    config = ExportConfig(graphs=GraphsConfig(precision=arguments.precision))
    out = export_unet(
        folder / "unet",
        config,
        folder / "onnx",
        progress=lambda line: marks.append(
            (line.split(str(folder))[0].strip(), time.perf_counter())
        ),
    )
    ended = time.perf_counter()
    stated = json.loads((out / "denoise.json").read_text())
    parts = {
        name: following - start
        for (name, start), following in zip(marks, [*(t for _, t in marks[1:]), ended], strict=True)
    }
    return {
        "step": f"export to {arguments.precision}",
        "bytes": sum(entry["bytes"] for entry in stated["files"].values()),
        "files": sorted(stated["files"]),
        "parity": stated["parity"]["graphs"]["denoise"]["output"],
        "float32_nodes": {reason: len(names) for reason, names in stated["float32_nodes"].items()},
        "parts_s": parts,
    }


def load(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """ONNX Runtime alone: a session, and one evaluation."""
    import numpy as np
    import onnxruntime as ort

    session = ort.InferenceSession(
        folder / "onnx" / "denoise.onnx", providers=["CPUExecutionProvider"]
    )
    loaded = time.perf_counter()
    feed = {
        value.name: np.zeros([n if isinstance(n, int) else 1 for n in value.shape], np.float32)
        for value in session.get_inputs()
    }
    (found,) = session.run(None, feed)
    evaluated = time.perf_counter()
    return {
        "step": f"load in ONNX Runtime {ort.__version__}, {arguments.precision}",
        "evaluation_s": evaluated - loaded,
        "finite": bool(np.isfinite(found).all()),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """One line a step, its bars beside it, and where the time of the export went."""
    head = f"{'step':<40}{'seconds':>9}{'cpu s':>7}{'peak GB':>9}{'load':>6}"
    lines = [f"{head}  within {BARS['seconds']:.0f} s, {BARS['peak_rss_gb']:.0f} GB"]
    for row in rows:
        if "failed" in row:
            lines.append(f"{row['step']:<40}failed: {row['failed']}")
            continue
        within = all(row[name] <= bar for name, bar in BARS.items())
        lines.append(
            f"{row['step']:<40}{row['seconds']:>9.1f}{row['cpu_seconds']:>7.1f}"
            f"{row['peak_rss_gb']:>9.2f}{row['load']:>6.1f}  {'yes' if within else 'no'}"
        )
        for name, seconds in row.get("parts_s", {}).items():
            lines.append(f"  {name:<38}{seconds:>9.1f}")
        if "evaluation_s" in row:
            lines.append(f"  {'one evaluation':<38}{row['evaluation_s']:>9.1f}")
        if "bytes" in row:
            told = f"{row['bytes'] / 1e9:.2f} GB in {', '.join(row['files'])}"
            lines.append(f"  {told}; {row['parity']['rms']:.1e} rms standard deviations from torch")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
