"""What does on-line augmentation cost a training step, and what would cached variants cost instead?

The packaged teacher trains on the packaged dataset, from cached latents, with a share of every
batch augmented in pixels and encoded anew. Steps of all shares are timed in turn in one process, so
that a busy machine slows them alike. The alternative, encoding more augmented variants of every
picture beforehand, costs disk, memory and time in proportion to their number; its row says how much
one variant of a dataset of 3072 groups would take.

    python benchmarks/studies/augmentation_cost.py [--rounds 9] [--batch-size 32] [--dtype auto]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeswap_compress import Checkpoint, default_checkpoint
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import convert
from edgeswap_compress.checkpoint.latents import encode_crop
from edgeswap_compress.data import open_pictures
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.dtype import AUTO, DTYPES, resolve_dtype
from edgeswap_compress.fit.latent_cache import encode_dataset, to_tensor
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.pairing import pairing_of
from edgeswap_compress.train.augment import augment_example
from edgeswap_compress.train.config import DenoiserConfig
from edgeswap_compress.train.denoiser import DenoiserObjective
from edgeswap_compress.train.examples import Examples
from edgeswap_compress.train.online import OnlineEncoder

SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
GROUPS = 3072
BATCH = 96


def main() -> int:
    """Time, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="steps of each share (9)")
    parser.add_argument("--batch-size", type=int, default=32, help="triplets a step (32)")
    parser.add_argument("--dtype", choices=DTYPES, default=AUTO, help="to compute in (auto)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    report = measure(arguments.rounds, arguments.batch_size, resolve_dtype(arguments.dtype))
    print(json.dumps(report) if arguments.json else table(report))
    return 0


def measure(rounds: int, batch_size: int, dtype: torch.dtype) -> dict[str, Any]:
    """Medians of everything, in milliseconds, and what the cache of one variant takes."""
    checkpoint, dataset = Checkpoint.load(default_checkpoint("teacher")), calibration()
    vae = convert(checkpoint.vae, dtype).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        groups = encode_dataset(vae, checkpoint.swap, dataset, Path(folder) / "cache", "study")
    pairing = pairing_of(dataset, 0.0)
    objective = DenoiserObjective(
        convert(checkpoint.unet.train(), dtype),
        convert(checkpoint.conditioner.train(), dtype),
        checkpoint.scheduler,
        checkpoint.swap,
        DenoiserConfig(fit=FitConfig(samples=batch_size, batch_size=batch_size)),
        Examples(groups, pairing),
        Examples(groups, pairing),
    )
    mixes = {
        share: Examples(
            groups, pairing, OnlineEncoder(vae, checkpoint.swap, dataset, share) if share else None
        )
        for share in SHARES
    }

    def step(share: float, number: int) -> None:
        objective._train = mixes[share]
        objective.loss(Draw.of(0, number), batch_size, 0.5)[0].backward()
        objective.module.zero_grad()

    pictures = np.concatenate([dataset.images(group) for group in range(len(dataset))])
    some = pictures[np.arange(BATCH) % len(pictures)]

    def encode(_: int) -> None:
        with torch.no_grad():
            encode_crop(vae, checkpoint.swap, to_tensor(some).to(dtype))

    def augment(number: int) -> None:
        rng = np.random.default_rng(number)
        for i in range(0, BATCH, 3):
            augment_example(rng, some[i], some[i + 1], some[i + 2])

    jobs: dict[str, Callable[[int], None]] = {"encode": encode, "augment": augment}
    for share in SHARES:
        jobs[f"step {share}"] = partial(step, share)
    found = interleaved(jobs, rounds)
    latents = groups.latents[0, 0]
    variant_bytes = GROUPS * dataset.pictures * latents.numel() * latents.element_size()
    prepared_s = (found["encode"] + found["augment"]) / BATCH / 1000 * GROUPS * dataset.pictures
    return {
        "batch_size": batch_size,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "dtype": str(dtype).removeprefix("torch."),
        "encode_ms_a_picture": found["encode"] / BATCH,
        "augment_ms_a_picture": found["augment"] / BATCH,
        "step_ms": {str(share): found[f"step {share}"] for share in SHARES},
        "variant_gb": variant_bytes / 1e9,
        "variant_minutes": prepared_s / 60,
    }


def calibration() -> Any:
    """The packaged dataset."""
    return open_pictures(calibration_dataset())


def interleaved(jobs: dict[str, Callable[[int], None]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each job; all are run once before, then in turn."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            begun = time.perf_counter_ns()
            job(number)
            if number:
                times[name].append((time.perf_counter_ns() - begun) / 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    steps, batch = report["step_ms"], report["batch_size"]
    lines = [
        f"batch {batch}, {report['threads']} threads, {report['dtype']}, "
        f"medians of {report['rounds']} rounds",
        "",
        "| share augmented | ms a step | samples/s | time against none |",
        "|---|---|---|---|",
    ]
    for share, ms in steps.items():
        lines.append(f"| {share} | {ms:.0f} | {1000 * batch / ms:.1f} | {ms / steps['0.0']:.2f} |")
    lines += [
        "",
        f"encoding {report['encode_ms_a_picture']:.2f} ms, augmenting "
        f"{report['augment_ms_a_picture']:.2f} ms a picture",
        f"one cached variant of {GROUPS} groups: {report['variant_gb']:.2f} GB, "
        f"{report['variant_minutes']:.1f} minutes",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
