"""Does pruning pay in milliseconds?

A checkpoint's U-Net is pruned to a share of its MACs, and to a share of its measured latency. Both
are written, read again, exported to ONNX in float32 and evaluated by ONNX Runtime on the CPU in
turns with the original: medians, p90 and n. The bars, at half of the MACs: a latency of at most
0.58 of the original's; and a plan made for a latency is within 5 % of it.

    python benchmarks/studies/pruning_latency.py CHECKPOINT --out OUT
    python benchmarks/studies/pruning_latency.py CHECKPOINT --out OUT --importance magnitude
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress.prune import UnreachableTarget
from edgeswap_compress.prune.config import BEST, PruneConfig
from edgeswap_compress.prune.latency.sessions import open_session
from edgeswap_compress.prune.latency.target import seeded_inputs
from edgeswap_compress.prune.model import open_model, token_count
from edgeswap_compress.prune.stage import PruneFiles, prune
from edgeswap_runtime.timing import interleave

MACS_BAR, TARGET_TOLERANCE = 0.58, 0.05


def main() -> int:
    """Prune both ways, time all three in turns, print the table."""
    args = _parser().parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    choice = {"importance": args.importance, "mode": args.mode, "allocation": args.allocation,
              "round_to": args.round_to}  # fmt: skip
    goals = {
        "half the MACs": PruneConfig.from_json({"macs_ratio": args.macs_ratio, **choice}),
        "for latency": PruneConfig.from_json({"latency_ratio": args.latency_ratio, **choice}),
    }
    folders = {"original": args.checkpoint}
    args.out.mkdir(parents=True, exist_ok=True)
    for name, config in goals.items():
        folders[name] = args.out / name.replace(" ", "-")
        if not folders[name].exists():
            files = PruneFiles(data=args.data, latencies=args.out / "latencies.json")
            try:
                prune(args.checkpoint, config, folders[name], files=files)
            except UnreachableTarget as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 2
    rows = timed(folders, args.runs)
    found = {
        "rows": rows,
        "choice": choice,
        "macs_ratio": args.macs_ratio,
        "latency_ratio": args.latency_ratio,
        "threads": torch.get_num_threads(),
        "macs_bar_met": rows["half the MACs"]["latency_ratio"] <= MACS_BAR,
        "target_met": abs(rows["for latency"]["latency_ratio"] / args.latency_ratio - 1)
        <= TARGET_TOLERANCE,
    }
    print(json.dumps(found) if args.json else "\n".join(table(found)))
    return 0


def timed(folders: dict[str, Path], runs: int) -> dict[str, dict[str, Any]]:
    """Evaluations of every folder's U-Net in turns, batch 1."""
    models = {name: open_model(folder) for name, folder in folders.items()}
    original = models["original"]
    inputs = seeded_inputs(original.unet, token_count(original))
    sessions = {
        name: open_session(torch.nn.Module.float(model.unet), kwargs=inputs)
        for name, model in models.items()
    }
    times = interleave(sessions, runs, most_s=60.0)
    base = statistics.median(times["original"])
    rows = {}
    for name, model in models.items():
        stats = None if model.plan is None else model.plan.stats
        rows[name] = {
            "latency_ms": statistics.median(times[name]),
            "p90_ms": statistics.quantiles(times[name], n=10)[-1],
            "n": len(times[name]),
            "latency_ratio": statistics.median(times[name]) / base,
            "macs_ratio": 1.0 if stats is None else stats.macs_after / stats.macs_before,
            "measured_while_planning": None if stats is None else stats.latency_ratio,
        }
    return rows


def table(found: dict[str, Any]) -> list[str]:
    """The rows as text."""
    lines = [f"{'U-Net':<16}{'MACs':>7}{'median':>12}{'p90':>12}{'n':>5}{'ratio':>8}"]
    lines += [
        f"{name:<16}{row['macs_ratio']:>7.3f}{row['latency_ms']:>9.2f} ms{row['p90_ms']:>9.2f} ms"
        f"{row['n']:>5}{row['latency_ratio']:>8.3f}"
        for name, row in found["rows"].items()
    ]
    choice = ", ".join(f"{name} {value}" for name, value in found["choice"].items())
    return [
        *lines,
        f"ONNX Runtime, CPU, float32, {found['threads']} threads; {choice}",
        f"at {found['macs_ratio']:g} of the MACs, at most {MACS_BAR} of the latency: "
        f"{'met' if found['macs_bar_met'] else 'missed'}",
        f"asked for {found['latency_ratio']:g} of the latency, within "
        f"{100 * TARGET_TOLERANCE:.0f} %: {'met' if found['target_met'] else 'missed'}",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="unpruned checkpoint")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder; what is there is not redone"
    )
    parser.add_argument(
        "--macs-ratio", type=float, default=0.5, help="share of the MACs to keep (0.5)"
    )
    parser.add_argument(
        "--latency-ratio", type=float, default=0.5, help="share of the latency to aim at (0.5)"
    )
    parser.add_argument("--importance", default=BEST["importance"], help="as for edgeswap prune")
    parser.add_argument("--mode", default=BEST["mode"], help="as for edgeswap prune")
    parser.add_argument("--allocation", default=BEST["allocation"], help="as for edgeswap prune")
    parser.add_argument("--round-to", type=int, default=8, help="widths are multiples of it (8)")
    parser.add_argument("--data", type=Path, help="to judge plans on (default: the packaged one)")
    parser.add_argument("--runs", type=int, default=100, help="evaluations of each, in turns (100)")
    parser.add_argument("--threads", type=int, help="CPU threads (all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
