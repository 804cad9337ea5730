"""How long does pruning a U-Net of the size of Stable Diffusion 1.5's take, and how much memory?

The inpainting U-Net of Stable Diffusion 1.5 (9 input channels, 860 M parameters) is made with
random float16 weights on disk. Then, in a fresh process, it is planned by magnitude, cut and saved
by `edgeswap prune`, and in another one the result is loaded again. Each row is wall time and the
process's peak resident memory, imports included. The bars for pruning are 90 s and 8 GB on two
cores.

    python benchmarks/studies/pruning_size.py --folder size
    python benchmarks/studies/pruning_size.py --width 64 --folder small    # a tenth, to try it
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fresh_process import measure_step
from stable_diffusion import WIDTH, random_unet

BARS = {"seconds": 90.0, "peak_rss_gb": 8.0}


def main() -> int:
    """Make the U-Net where it is missing, prune it, load it, print the table."""
    args = parse()
    if args.step is not None:
        row = {"make": make, "prune": prune, "load": load}[args.step](args)
        print(json.dumps(row))
        return 0
    if not (args.folder / "unet").is_dir():
        in_a_fresh_process("make")
    rows = [in_a_fresh_process(step) for step in ("prune", "load")]
    print(json.dumps(rows) if args.json else "\n".join(table(rows)))
    return 0 if all("failed" not in row for row in rows) else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="the U-Net is kept in it")
    parser.add_argument("--width", type=int, default=WIDTH, help="of the first level's channels")
    parser.add_argument("--macs-ratio", type=float, default=0.5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", choices=("make", "prune", "load"), help=argparse.SUPPRESS)
    return parser.parse_args()


def in_a_fresh_process(step: str) -> dict[str, Any]:
    """One step by itself, so that its peak memory is its own."""
    return measure_step(__file__, sys.argv[1:], step)


def make(args: argparse.Namespace) -> dict[str, Any]:
    """The U-Net of stable-diffusion-inpainting, with random weights."""
    unet = random_unet(args.width)
    unet.save_pretrained(args.folder / "unet")
    return {"parameters": sum(p.numel() for p in unet.parameters())}


def prune(args: argparse.Namespace) -> dict[str, Any]:
    """Plan by magnitude, cut, save."""
    import shutil

    from edgeswap_compress.plan.plan_file import read_plan
    from edgeswap_compress.prune import PruneChoice, PruneConfig, PruneTarget
    from edgeswap_compress.prune import prune as prune_stage

    out = args.folder / "pruned"
    shutil.rmtree(out, ignore_errors=True)
    config = PruneConfig(
        target=PruneTarget(macs_ratio=args.macs_ratio),
        choice=PruneChoice(
            importance="magnitude", mode="width", allocation="share", resample=False
        ),
        samples=0,
    )
    prune_stage(args.folder / "unet", config, out)
    stats = read_plan(out / "pruning.json").stats
    return {} if stats is None else stats.to_json()


def load(args: argparse.Namespace) -> dict[str, Any]:
    """Load what was saved, every tensor checked, in the dtype on disk."""
    from edgeswap_compress.prune import load_unet

    unet = load_unet(args.folder / "pruned", dtype=None)
    return {"parameters": sum(p.numel() for p in unet.parameters())}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The rows as text."""
    lines = [f"{'step':<8}{'seconds':>9}{'CPU':>9}{'peak RSS':>11}"]
    for row in rows:
        if "failed" in row:
            lines.append(f"{row['step']:<8}failed: {row['failed']}")
            continue
        lines.append(
            f"{row['step']:<8}{row['seconds']:>9.1f}{row['cpu_seconds']:>9.1f}"
            f"{row['peak_rss_gb']:>8.2f} GB"
        )
    first = rows[0]
    if "failed" not in first:
        met = all(first[key] < bar for key, bar in BARS.items())
        lines += [
            f"{first['parameters_before'] / 1e6:.0f} M parameters -> "
            f"{first['parameters_after'] / 1e6:.0f} M, MACs "
            f"{first['macs_after'] / first['macs_before']:.3f} of before",
            f"bars for pruning: {BARS['seconds']:.0f} s and {BARS['peak_rss_gb']:.0f} GB, "
            f"{'met' if met else 'missed'}",
        ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
