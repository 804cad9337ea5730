"""Timing swaps of several bundles one after the other, round by round (used by other studies)."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from pathlib import Path

import numpy as np

from edgeswap_compress import Checkpoint
from edgeswap_compress.checkpoint.inspect import describe
from edgeswap_export import ExportConfig, GraphsConfig, SchedulesConfig, export
from edgeswap_runtime import StageClock, Swapper


def bundle_of(checkpoint: Path, steps: int, folder: Path, precision: str = "fp32") -> Path:
    """The checkpoint exported with one schedule of so many DDIM steps, unless it was before."""
    if not folder.exists():
        config = ExportConfig(
            schedules=SchedulesConfig(steps=steps, others=()),
            graphs=GraphsConfig(precision=precision),
            detector=False,
        )
        export(checkpoint, config, folder)
    return folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A bundle on a backend, computing in a precision (the backend's own where None)."""

    bundle: Path
    backend: str = "ort"
    precision: str | None = None

    def open(self, threads: int | None) -> Swapper:
        """The bundle, ready to swap."""
        return Swapper.open(
            self.bundle, backend=self.backend, precision=self.precision, threads=threads
        )


def macs_per_swap(checkpoint: Path, steps: int) -> dict[str, int]:
    """U-Net evaluations and multiply-accumulates of a swap of a known source."""
    macs = describe(checkpoint)["macs"]
    guidance = Checkpoint.load(checkpoint).swap.guidance_scale
    evaluations = steps * (1 if guidance == 1.0 else 2)
    ends = macs["encoder"] + macs["decoder"]
    total = evaluations * macs["unet"] + ends
    return {"evaluations": evaluations, "unet_macs": macs["unet"], "ends_macs": ends,
            "macs": total}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwapTiming:
    """Medians of ``n_swaps`` swaps, source known: the whole, and each stage, in milliseconds."""

    n_swaps: int
    swap_ms: float
    encode_ms: float
    denoise_ms: float
    decode_ms: float

    @property
    def ends_ms(self) -> float:
        """Encoder and decoder."""
        return self.encode_ms + self.decode_ms

    @property
    def share_of_ends(self) -> float:
        """Their part of the three stages."""
        return self.ends_ms / (self.ends_ms + self.denoise_ms)

    def to_json(self) -> dict[str, float]:
        """All of it, by name."""
        return {**dataclasses.asdict(self), "share_of_ends": self.share_of_ends}


def time_swaps(
    runs: dict[str, Run], rounds: int, threads: int | None, warm_up: int = 3
) -> dict[str, SwapTiming]:
    """Swap the same crop with every run, in turns."""
    rng = np.random.default_rng(0)
    laps: dict[str, list[dict[str, int]]] = {name: [] for name in runs}
    with contextlib.ExitStack() as stack:
        opened = {name: stack.enter_context(run.open(threads)) for name, run in runs.items()}
        faces = {}
        for name, swapper in opened.items():
            size = swapper.resolution_px
            target, source = rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
            faces[name] = target, swapper.identity_of_crops([source])
        clock = StageClock()
        for turn in range(warm_up + rounds):
            for name, swapper in opened.items():
                target, identity = faces[name]
                swapper.swap_crop(target, identity)  # the others' thread pools go to sleep
                with clock.stage("swap"):
                    swapper.swap_crop(target, identity, clock=clock)
                lap = clock.lap()
                if turn >= warm_up:
                    laps[name].append(lap)
    return {name: _summary(found) for name, found in laps.items()}


def _summary(laps: list[dict[str, int]]) -> SwapTiming:
    medians = {
        f"{stage}_ms": statistics.median(lap[stage] for lap in laps) / 1e6
        for stage in ("swap", "encode", "denoise", "decode")
    }
    return SwapTiming(n_swaps=len(laps), **medians)
