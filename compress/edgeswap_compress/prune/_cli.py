"""``edgeswap prune``: make a checkpoint's U-Net narrower."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any


def command(argv: list[str]) -> int:
    """Entry point; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.latency_runs < 0:
        parser.error("--latency-runs must be at least 0")
    from edgeswap_compress.prune._config import PruneConfig
    from edgeswap_compress.prune._stage import prune, read_plan, replay

    if args.plan is not None:
        out = replay(args.checkpoint, read_plan(args.plan), args.out)
    else:
        config = PruneConfig(
            macs_ratio=args.macs_ratio,
            importance=args.importance,
            round_to=args.round_to,
            seed=args.seed,
        )
        out = prune(args.checkpoint, config, args.out)
    facts = compare(args.checkpoint, out, latency_runs=args.latency_runs)
    print(json.dumps(facts) if args.json else "\n".join(_table(facts)))
    return 0


def compare(before: Path, after: Path, *, latency_runs: int) -> dict[str, Any]:
    """Parameters, MACs and latency of the U-Nets of two checkpoints.

    Args:
        before: the unpruned checkpoint.
        after: the pruned one.
        latency_runs: timed forward passes of each in torch, batch 1, in turns; 0 times nothing.

    Returns:
        "before" and "after": {"parameters", "macs", "latency_torch_ms" (median, or None)};
        "ratio": after / before of each; "plan": the plan's stats; "checkpoint": `after`.
    """
    import torch

    from edgeswap_compress._checkpoint import Checkpoint
    from edgeswap_compress._macs import count_macs, count_parameters
    from edgeswap_compress.prune._inputs import example_inputs
    from edgeswap_compress.prune._latency import interleaved_ms
    from edgeswap_compress.prune._stage import token_count

    loaded = {"before": Checkpoint.load(before), "after": Checkpoint.load(after)}
    plan = loaded["after"].plan
    unets = {name: checkpoint.unet for name, checkpoint in loaded.items()}
    tokens = token_count(loaded["before"])
    inputs = example_inputs(unets["before"].config, tokens=tokens, device="cpu")
    latency = interleaved_ms(unets, inputs, runs=latency_runs) if latency_runs else {}
    facts: dict[str, Any] = {
        name: {
            "parameters": count_parameters(unet),
            "macs": count_macs(unet, inputs),
            "latency_torch_ms": latency.get(name),
        }
        for name, unet in unets.items()
    }
    facts["ratio"] = {
        key: facts["after"][key] / value if value else None
        for key, value in facts["before"].items()
    }
    facts["plan"] = None if plan is None or plan.stats is None else asdict(plan.stats)
    facts["latency_runs"], facts["threads"] = latency_runs, torch.get_num_threads()
    facts["checkpoint"] = str(after)
    return facts


def _table(facts: dict[str, Any]) -> list[str]:
    rows = (
        ("parameters", 1e6, "M"),
        ("macs", 1e6, "M"),
        ("latency_torch_ms", 1.0, "ms"),
    )
    labels = {"parameters": "parameters", "macs": "MACs", "latency_torch_ms": "torch latency"}
    lines = [f"{'U-Net':<14}{'before':>12}{'after':>12}{'ratio':>8}"]
    for key, scale, unit in rows:
        before, after, ratio = facts["before"][key], facts["after"][key], facts["ratio"][key]
        if before is None:
            continue
        cells = f"{before / scale:>9.2f} {unit:<2}{after / scale:>9.2f} {unit:<2}{ratio:>8.3f}"
        lines.append(f"{labels[key]:<14}{cells}")
    if facts["latency_runs"]:
        lines.append(
            f"latency: median of {facts['latency_runs']} runs in turns, batch 1, "
            f"{facts['threads']} threads"
        )
    lines.append(f"wrote {facts['checkpoint']}")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap prune",
        description="Make a checkpoint's U-Net narrower: channels, heads and feed-forward units "
        "that matter least go, weights are sliced, nothing is trained.",
    )
    parser.add_argument("checkpoint", type=Path, help="unpruned checkpoint folder")
    parser.add_argument("out", type=Path, help="checkpoint folder to write")
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument("--macs-ratio", type=float, help="U-Net MACs after / before, in (0, 1)")
    goal.add_argument("--plan", type=Path, help="replay this pruning.json instead")
    parser.add_argument("--importance", default="magnitude", help="magnitude or random")
    parser.add_argument("--round-to", type=int, default=8, help="widths are multiples of it")
    parser.add_argument("--seed", type=int, default=0, help="for --importance random")
    parser.add_argument(
        "--latency-runs", type=int, default=15, help="timed runs of each U-Net; 0 to skip"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
