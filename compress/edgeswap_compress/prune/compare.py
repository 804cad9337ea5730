"""Compare a U-Net before and after pruning: size, MACs, latency, loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from edgeswap_compress._macs import count_macs, count_parameters
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.conditioning.attention import with_adapter_tokens
from edgeswap_compress.data import open_pictures
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.fit.machine.device import resolve_device
from edgeswap_compress.plan.apply import apply_plan
from edgeswap_compress.plan.meta_copy import empty_original
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._samples import calibration_samples
from edgeswap_compress.prune.config import PruneConfig, PruneTarget
from edgeswap_compress.prune.latency.sessions import open_session
from edgeswap_compress.prune.latency.target import seeded_inputs
from edgeswap_compress.prune.latency.timing import interleaved_medians_ms, interleaved_ms
from edgeswap_compress.prune.model import Model, is_large, open_model, token_count

RUNS = 15


def compare(
    before: Path,
    after: Path,
    *,
    latency_runs: int | None = None,
    samples: int | None = None,
    data: Path | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Compare what the U-Nets of two folders cost, and how far apart their outputs are.

    Args:
        before: the unpruned checkpoint or U-Net.
        after: the pruned one.
        latency_runs: timed evaluations of each in torch and in ONNX Runtime, batch 1, in turns; 0
            times nothing; None for 15, or 0 where an evaluation costs more than 50 GMACs.
        samples: to compare the outputs on, as in `PruneConfig`.
        data: dataset to take them from.
        device: that the outputs are computed on; the times are always the processor's.

    Returns:
        "before" and "after": {"parameters", "macs", "latency_torch_ms", "latency_ort_ms", "loss"}
        (medians; the diffusion loss on samples of data); "ratio": after / before of each, None
        where it was not measured; "output_change": mean square distance of the outputs;
        "predicted_loss": that distance before any recovery, from the plan; "plan": its stats.
    """
    loaded = {"before": open_model(before), "after": open_model(after)}
    if latency_runs is None:
        latency_runs = 0 if is_large(loaded["before"]) else RUNS
    drawn = _samples(loaded["before"], before, samples, data)
    unets = {name: model.unet for name, model in loaded.items()}
    tokens = token_count(loaded["before"])
    if latency_runs or drawn is not None:
        unets = {name: torch.nn.Module.float(unet) for name, unet in unets.items()}
    timed = _timed(unets, tokens, latency_runs)
    if drawn is not None:
        drawn = drawn.to(resolve_device(device, training=False))
        unets = {name: torch.nn.Module.to(u, drawn.device) for name, u in unets.items()}
    facts: dict[str, Any] = {
        name: {
            "parameters": count_parameters(unet),
            "macs": _macs(loaded[name], tokens),
            "latency_torch_ms": timed["torch"].get(name),
            "latency_ort_ms": timed["ort"].get(name),
            "loss": _loss(drawn, unet),
        }
        for name, unet in unets.items()
    }
    facts["ratio"] = {
        key: facts["after"][key] / value if value else None
        for key, value in facts["before"].items()
    }
    facts |= _predictions(drawn, unets, loaded["after"])
    facts["latency_runs"], facts["threads"] = latency_runs, torch.get_num_threads()
    facts["checkpoint"] = str(after)
    return facts


def _macs(model: Model, tokens: int) -> int:
    """MACs of one forward pass, counted on the meta device."""
    meta = empty_original(model.unet)
    if model.plan is not None:
        apply_plan(meta, model.plan)
    inputs = example_inputs(model.unet.config, tokens=tokens)
    return count_macs(meta, with_adapter_tokens(meta, inputs))


def _timed(unets: dict[str, Any], tokens: int, runs: int) -> dict[str, dict[str, float]]:
    if not runs:
        return {"torch": {}, "ort": {}}
    inputs = seeded_inputs(unets["before"], tokens)
    sessions = {name: open_session(unet, kwargs=inputs) for name, unet in unets.items()}
    return {
        "torch": interleaved_ms(unets, inputs, runs=runs),
        "ort": interleaved_medians_ms(sessions, runs=runs),
    }


def _samples(
    model: Model, folder: Path, samples: int | None, data: Path | None
) -> CalibrationSamples | None:
    config = PruneConfig(target=PruneTarget(macs_ratio=0.5), samples=samples)
    dataset = None if data is None else open_pictures(data, loose=True)
    return calibration_samples(model, config, folder=folder, data=dataset)


@torch.no_grad()
def _loss(drawn: CalibrationSamples | None, unet: Any) -> float | None:
    """The mean diffusion loss; None where the samples are noise, of which it says nothing."""
    if drawn is None or drawn.origin == "noise":
        return None
    losses = [
        float(drawn.loss(unet, batch, drawn.steps(number)))
        for number, batch in enumerate(drawn.batches)
    ]
    return sum(losses) / len(losses)


def _predictions(
    drawn: CalibrationSamples | None, unets: dict[str, Any], after: Model
) -> dict[str, Any]:
    stats = None if after.plan is None else after.plan.stats
    change = None
    if drawn is not None:
        change = drawn.distance(unets["after"], drawn.outputs(unets["before"]))
    return {
        "output_change": change,
        "predicted_loss": None if stats is None else stats.predicted_loss,
        "samples": None if drawn is None else sum(len(batch) for batch in drawn.batches),
        "samples_origin": None if drawn is None else drawn.origin,
        "plan": None if stats is None else stats.to_json(),
        "dropped": [] if after.plan is None else sorted(after.plan.dropped),
        "kind": "checkpoint" if isinstance(after, Checkpoint) else "unet",
    }


def table(facts: dict[str, Any]) -> list[str]:
    """Lay the facts out as lines of text."""
    rows = (
        ("parameters", "parameters", 1e6, "M"),
        ("macs", "MACs", 1e6, "M"),
        ("latency_torch_ms", "torch latency", 1.0, "ms"),
        ("latency_ort_ms", "ORT latency", 1.0, "ms"),
        ("loss", "loss", 1.0, ""),
    )
    lines = [f"{'U-Net':<14}{'before':>12}{'after':>12}{'ratio':>8}"]
    for key, label, scale, unit in rows:
        before, after, ratio = facts["before"][key], facts["after"][key], facts["ratio"][key]
        if before is None:
            continue
        digits = 2 if unit else 4
        cells = (f"{value / scale:>9.{digits}f} {unit:<2}" for value in (before, after))
        lines.append(f"{label:<14}{''.join(cells)}{ratio:>8.3f}")
    plan = facts["plan"]
    if plan is not None:
        dropped = len(facts["dropped"])
        lines.append(
            f"chosen: importance {plan['importance']}, "
            f"allocation {plan.get('allocation') or 'share'}, {dropped} "
            f"{'module' if dropped == 1 else 'modules'} dropped"
        )
    predicted = facts["predicted_loss"]
    if predicted is not None:
        lines.append(f"predicted loss change: {predicted:+.4f} before any training")
    if facts["samples"]:
        lines.append(
            f"output change: {facts['output_change']:.4f}, mean square on {facts['samples']} "
            f"samples of {facts['samples_origin']}"
        )
    else:
        lines.append(
            "no samples, so no loss was predicted: --samples N takes noise, --data triplets"
        )
    if facts["latency_runs"]:
        lines.append(
            f"latency: median of {facts['latency_runs']} runs in turns, batch 1, "
            f"{facts['threads']} threads"
        )
    else:
        lines.append("latency was not measured: --latency-runs N measures it")
    lines.append(f"wrote {facts['checkpoint']}")
    return lines
