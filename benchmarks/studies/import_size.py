"""Does a swap model of Stable Diffusion 1.5's size go the whole way, and in how much memory?

IP-Adapter FaceID on the inpainting model of Stable Diffusion 1.5 is made with random weights in
float16: a U-Net of 860 M parameters, the autoencoder of 84 M, 512 px. Then, each in a process of
its own:

    import -> prune 0.5 -> one step without guidance -> export fp32, fp16, int8 -> engine for sm86
    -> swap of a photo on ONNX Runtime and OpenVINO

Each row is wall time, processor time and the largest resident memory of the whole process tree.
The bar is 12 GB for each. Distillation is left out: random weights teach nothing, and what it
changes besides them, one step and no guidance, is set in the pruned checkpoint instead. So the
swapped photos show nothing; what is shown is that every command takes what the one before it made.

    python benchmarks/studies/import_size.py --folder size
    python benchmarks/studies/import_size.py --width 64 --folder small    # a tenth, to try it

The table says where a processor refuses bfloat16. Rows that are there already are not measured
again; --again NAME measures one anew.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from fresh_process import measure_edgeswap, measure_step
from stable_diffusion import WIDTH, write_faceid

BAR_GB = 12.0
STEPS, GUIDANCE = 50, 7.5
SAMPLING = ["--sampler", "ddim", "--steps", str(STEPS), "--guidance", str(GUIDANCE),
            "--license", "CC0-1.0", "--origin", "random weights"]  # fmt: skip
CALIBRATION = ("--calibration-swaps", "1")
"""Of the usual two: memory is the same, and time less."""
OUTPUTS = {"import": "whole", "prune 0.5": "pruned", "student": "student", "export fp32": "bundle",
           "export fp16": "half", "export int8": "int8", "engine sm86": "engines",
           "unpruned graph": "unpruned"}  # fmt: skip
"""Step -> the folder that it makes."""


def main() -> int:
    """Walk the way, print the table."""
    arguments = parse()
    if arguments.step is not None:
        step = {"student": make_student, "unpruned graph": write_unpruned}[arguments.step]
        print(json.dumps(step(arguments.folder)))
        return 0
    arguments.folder.mkdir(parents=True, exist_ok=True)
    given = write_faceid(arguments.folder / "models", arguments.width)
    rows = []
    for name, words in steps(given, arguments.folder):
        if arguments.only and name not in arguments.only:
            continue
        rows.append(row_of(name, words, arguments))
        if fell_short(rows[-1]):
            break
    print(json.dumps(rows) if arguments.json else table(rows))
    return 1 if any(fell_short(row) or row["peak_rss_gb"] > BAR_GB for row in rows) else 0


def fell_short(row: dict[str, Any]) -> bool:
    """Whether a step failed that every processor can do; not all compute in bfloat16."""
    return "failed" in row and "bf16" not in row["step"]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="kept between runs")
    parser.add_argument("--width", type=int, default=WIDTH, help="of the first level's channels")
    parser.add_argument("--again", action="append", default=[], metavar="NAME", help="of a step")
    parser.add_argument("--only", action="append", metavar="NAME", help="a step, instead of all")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--step", choices=("student", "unpruned graph"), help=argparse.SUPPRESS)
    return parser.parse_args()


def steps(given: list[str], folder: Path) -> list[tuple[str, list[str]]]:
    """List (name, arguments of edgeswap) of each step, in order; the study's own have none."""
    from edgeswap_runtime.pictures.portraits import packaged_portraits

    source, target = (str(path) for path in packaged_portraits()[:2])
    made = {name: str(folder / place) for name, place in OUTPUTS.items()}
    student, bundle, half, int8 = (
        made[name] for name in ("student", "export fp32", "export fp16", "export int8")
    )

    def swap(bundle: str, *options: str) -> list[str]:
        out = str(folder / "swapped.png")
        return ["swap", bundle, "--source", source, "--target", target, "--out", out, "--overwrite",
                "--force", *options]  # fmt: skip

    openvino = ("--backend", "openvino")
    rtx = ("--backend", "tensorrt_rtx", "--gpu", "sm86")
    return [
        ("import", ["import", *given[:2], made["import"], *given[2:], *SAMPLING]),
        ("prune 0.5", ["prune", made["import"], made["prune 0.5"], "--macs-ratio", "0.5"]),
        ("student", []),
        ("export fp32", ["export", student, bundle]),
        ("swap, ONNX Runtime fp32", swap(bundle)),
        ("swap, OpenVINO fp32", swap(bundle, *openvino)),
        ("swap, OpenVINO bf16", swap(bundle, *openvino, "--precision", "bf16")),
        ("export fp16", ["export", student, half, "--precision", "fp16", *CALIBRATION]),
        ("engine sm86", ["engine", half, made["engine sm86"], *rtx]),
        ("export int8", ["export", student, int8, "--precision", "int8", *CALIBRATION]),
        ("swap, ONNX Runtime int8", swap(int8)),
        ("swap, OpenVINO int8", swap(int8, *openvino)),
        ("unpruned graph", []),
    ]  # fmt: skip


def row_of(name: str, words: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure a step, or read what was measured before."""
    file = arguments.folder / "rows" / f"{name}.json"
    if file.is_file() and name not in arguments.again:
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    if name in OUTPUTS:
        shutil.rmtree(arguments.folder / OUTPUTS[name], ignore_errors=True)
    print(f"{name} ...", file=sys.stderr, flush=True)
    if words:
        # What OpenVINO compiles stays in the folder; exports look for the detector elsewhere.
        cache = {"EDGESWAP_CACHE": str(arguments.folder / "cache")} if words[0] == "swap" else {}
        done = measure_edgeswap(words, cache)
        row = {"step": name, **done.to_json(), "told": done.told.strip().splitlines()[-12:]}
    else:
        row = measure_step(__file__, ["--folder", str(arguments.folder)], name)
    if not fell_short(row):
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(row, indent=1))
    return row


def make_student(folder: Path) -> dict[str, Any]:
    """Write the pruned checkpoint as sampled in one step without guidance."""
    from edgeswap_compress import Checkpoint

    checkpoint = Checkpoint.load(folder / OUTPUTS["prune 0.5"])
    checkpoint.swap = checkpoint.swap.sampled(
        sampler="ddim", spacing=None, steps=1, guidance_scale=1.0
    )
    checkpoint.save(folder / OUTPUTS["student"])
    return {"parameters": sum(p.numel() for p in checkpoint.unet.parameters())}


def write_unpruned(folder: Path) -> dict[str, Any]:
    """Write the graph of the unpruned denoiser, guidance in it, as the exporter does.

    What shows the target is drawn, so that the autoencoder need not run. Nothing is proven here;
    torch's answer is kept, and `import_speed.py` compares.
    """
    import numpy as np
    import torch

    from edgeswap_compress import Checkpoint
    from edgeswap_compress.checkpoint.conditioner import SwapConditioner
    from edgeswap_compress.conditioning.attention import use_fused_attention
    from edgeswap_export.graphs.example import seeded_example
    from edgeswap_export.graphs.swap_graphs import DenoiseGraph, pictures_by_role, target_inputs
    from edgeswap_export.graphs.to_onnx import write_onnx
    from edgeswap_export.graphs.told import told_by
    from edgeswap_export.graphs.torch_graph import run_module
    from edgeswap_export.stage import write_graph

    out = folder / OUTPUTS["unpruned graph"]
    out.mkdir()
    checkpoint = Checkpoint.load(folder / OUTPUTS["import"])
    use_fused_attention(checkpoint.unet)
    example = seeded_example(checkpoint.swap)
    conditioner = SwapConditioner.of(checkpoint)
    pictures = pictures_by_role(checkpoint, example.target, example.source)
    told = told_by(conditioner, {n.removeprefix("crop:"): v for n, v in pictures.items()}).parts
    maps = {
        name: torch.rand_like(example.noise)[:, : 1 if name == "latent_mask" else None]
        for name in target_inputs(checkpoint)
    }
    inputs = {"sample": example.noise, "timestep": torch.tensor([500.0]), **maps}
    inputs |= {name: value for part in told for name, (_, value) in part.inputs.items()}
    inputs["guidance"] = torch.tensor([GUIDANCE])
    module = DenoiseGraph(checkpoint, told, tuple(maps), conditioner.null(1))
    graph = run_module(module, inputs, ("output",), {})
    tensors = {**graph.inputs, **graph.outputs}
    arrays: dict[str, Any] = {name: value.numpy() for name, value in tensors.items()}
    np.savez(out / "tensors.npz", **arrays)
    write_onnx(out, "denoise", write_graph("denoise", graph, None))
    return {"parameters": sum(p.numel() for p in checkpoint.unet.parameters())}


def table(rows: list[dict[str, Any]]) -> str:
    """One line for each step."""
    lines = ["| step | s | CPU s | peak of the process tree, GB |", "|---|---|---|---|"]
    for row in rows:
        over = "" if row["peak_rss_gb"] <= BAR_GB else f", above {BAR_GB:.0f}"
        lines.append(
            f"| {row['step']} | {row['seconds']:.0f} | {row['cpu_seconds']:.0f} "
            f"| {row['peak_rss_gb']:.2f}{over} |"
        )
        if "failed" in row:
            lines.append(f"| failed: {row['failed']} | | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
