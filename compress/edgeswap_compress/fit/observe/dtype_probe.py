"""Time a small step in each dtype, and keep the answer: what is fast on this machine."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.cache import cache_folder
from edgeswap_runtime.files import canonical_json, write_json
from edgeswap_runtime.strict_json import parse_json, read_json

if TYPE_CHECKING:
    import torch

SHORTER = ("bfloat16", "float16")
"""What is timed beside float32; float16 on a graphics card alone."""

WORTH_IT = 0.95
"""A shorter dtype must take at most this share of the time, because float32 is more exact.

And float16 this share of bfloat16's, whose range is float32's.
"""

BUDGET_S = 0.5
"""After this the probe begins no further round; one round after the warm-up is always made."""

ROUNDS = 8

PICTURES = 2
"""What a step is timed for; a card computes more at once, or its launches would be timed."""

CARD_PICTURES = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Probed:
    """Give the time of a small step in each dtype.

    Attributes:
        training_ms: forward and backward, dtype -> least milliseconds of the rounds.
        inference_ms: forward alone.
    """

    training_ms: dict[str, float]
    inference_ms: dict[str, float]

    def slowdown(self, *, training: bool, dtype: str = "bfloat16") -> float:
        """Divide the time of bfloat16, or of another dtype, by float32's."""
        found = self.training_ms if training else self.inference_ms
        return found[dtype] / found["float32"]

    def least_ms(self, *, training: bool) -> float:
        """Give the time of the fastest dtype, milliseconds."""
        return min((self.training_ms if training else self.inference_ms).values())

    def faster(self, *, training: bool) -> str:
        """Name the dtype to take."""
        found = self.training_ms if training else self.inference_ms
        taken = "float32"
        for name in SHORTER:
            if name in found and found[name] <= WORTH_IT * found[taken]:
                taken = name
        return taken


def probe(device: str | torch.device = "cpu") -> Probed:
    """Time a small step in each dtype, or read what was timed on this machine before.

    The answer is kept in the cache folder, one file for each processor, torch version, number of
    threads and setting that hides instructions.

    Args:
        device: that computes.
    """
    machine = _machine(str(device))
    name = hashlib.sha256(canonical_json(machine)).hexdigest()[:16]
    return _probe(str(device), cache_folder() / "dtype" / f"{name}.json", canonical_json(machine))


@functools.cache
def _probe(device: str, file: Path, machine: bytes) -> Probed:
    try:
        raw = read_json(file)
        return Probed(raw["training_ms"], raw["inference_ms"])
    except (OSError, ValueError, KeyError, TypeError):
        found = _measure(device)  # there is no such file, or it is damaged
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"machine": parse_json(machine), **asdict(found)})
    except OSError as error:
        _log.info("the dtype probe is not kept, %s cannot be written: %s", file, error)
    return found


def _machine(device: str) -> dict[str, Any]:
    """Everything that the answer depends on."""
    import torch

    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "processor": _processor(Path("/proc/cpuinfo")),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "hidden": [
            os.environ.get(name, "") for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
        ],
    }


def _processor(cpuinfo: Path) -> list[str]:
    """Model and instructions of the processor, as far as the system tells them."""
    found = [platform.machine(), platform.processor()]
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return found
    for name in ("model name", "flags", "Features"):
        line = next((line for line in lines if line.partition(":")[0].strip() == name), "")
        found.append(line.partition(":")[2].strip())
    return found


def _measure(device: str) -> Probed:
    """Time the dtypes in turns; the least time of each is the one nothing else disturbed.

    On the processor one thread is timed by the time that it ran, so that a busy neighbor changes
    nothing: two threads that wait for each other would measure that neighbor.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(False):
            names = ("float32", *SHORTER[: 1 if device == "cpu" else 2])
            return _rounds({name: _Step(name, device) for name in names})
    finally:
        torch.set_num_threads(threads)


def _rounds(steps: dict[str, _Step]) -> Probed:
    training: dict[str, list[float]] = {name: [] for name in steps}
    inference: dict[str, list[float]] = {name: [] for name in steps}
    begun = time.perf_counter()
    for number in range(1 + ROUNDS):
        if number > 1 and time.perf_counter() - begun > BUDGET_S:
            break
        for name, step in steps.items():
            forward, both = step.time_ms()
            if number > 0:  # the first round warms up
                training[name].append(both)
                inference[name].append(forward)
    return Probed(
        {name: min(times) for name, times in training.items()},
        {name: min(times) for name, times in inference.items()},
    )


class _Step:
    """What a step of ours is made of: a residual block of convolutions, and attention.

    Channels last, the widths and sizes of the packaged teacher's outer level.
    """

    def __init__(self, dtype: str, device: str) -> None:
        import torch
        from torch import nn

        from edgeswap_compress.checkpoint.folder import convert

        self._device = torch.device(device)
        settings: dict[str, Any] = {"dtype": getattr(torch, dtype), "device": self._device}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            convolve = nn.Sequential(  # a norm first would end torch 2.13 by a signal
                nn.Conv2d(128, 128, 3, padding=1, **settings),
                nn.GroupNorm(16, 128, **settings),
                nn.SiLU(),
                nn.Conv2d(128, 128, 3, padding=1, **settings),
            )
            self._convolve = convert(convolve, settings["dtype"])
            self._project = nn.Linear(128, 3 * 128, **settings)
            self._out = nn.Linear(128, 128, **settings)
            self._pictures = PICTURES if device == "cpu" else CARD_PICTURES
            x = torch.randn(self._pictures, 128, 16, 16)
            self._x = x.to(**settings, memory_format=torch.channels_last)

    def time_ms(self) -> tuple[float, float]:
        """Time a forward pass, and forward and backward together, ms for ``PICTURES``."""
        import torch

        with torch.no_grad():
            forward = self._time_ms(self._loss)
        with torch.enable_grad():
            both = self._time_ms(lambda: self._loss().backward())
        return forward, both

    def _time_ms(self, run: Any) -> float:
        import torch

        if self._device.type == "cpu":
            begun = time.thread_time_ns()
            run()
            return (time.thread_time_ns() - begun) / 1e6
        wait = torch.mps.synchronize if self._device.type == "mps" else torch.cuda.synchronize
        wait()
        begun = time.perf_counter_ns()
        run()
        wait()
        return (time.perf_counter_ns() - begun) / 1e6 * PICTURES / self._pictures

    def _loss(self) -> torch.Tensor:
        from torch.nn import functional as F

        x = self._x + self._convolve(self._x)
        tokens = F.avg_pool2d(x, 2).flatten(2).transpose(1, 2)  # 64 of 8 x 8
        heads = self._project(tokens).unflatten(2, (3, 4, 32)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.flatten(1, 2)
        shares = (query @ key.transpose(1, 2) * 32**-0.5).softmax(-1)
        mixed = (shares @ value).unflatten(0, (-1, 4)).transpose(1, 2).flatten(2)
        loss: torch.Tensor = self._out(mixed).float().square().mean() + x.float().square().mean()
        return loss
