"""Choose the device that torch computes on; refuse one that this machine does not grant."""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeswap_compress.errors import InvalidSettings

if TYPE_CHECKING:
    import torch

AUTO = "auto"
"""Takes the graphics card where there is one, unless the processor is faster by ``probe``."""

DEVICE_FORMS = "auto, cpu, cuda, cuda:N, mps"
"""What ``--device`` takes, in words."""

_FORM = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


def check_device(name: str) -> None:
    """Refuse a name that no device has.

    Raises:
        InvalidSettings: it has another form than ``DEVICE_FORMS``.
    """
    if not _FORM.fullmatch(name):
        raise InvalidSettings(f"device {name!r}: expected one of {DEVICE_FORMS}")


@dataclass(frozen=True, slots=True)
class Compute:
    """Where and in which dtype a stage computes.

    Attributes:
        device: of modules and batches; datasets and caches stay in the host's memory.
        dtype: of the computation. In bfloat16 the modules' own weights are rounded to it, and the
            optimizer holds them in float32. In float16, whose range is small, the modules stay
            float32 and autocast converts what is safe (1710.03740), with a scaled loss.
    """

    device: torch.device
    dtype: torch.dtype

    @property
    def weights(self) -> torch.dtype:
        """Give the dtype of the modules' weights."""
        import torch

        return torch.float32 if self.dtype == torch.float16 else self.dtype

    def place(self, module: Any) -> Any:
        """Move a module to the device and the weights' dtype, in place, and return it."""
        from edgeswap_compress.checkpoint.folder import convert

        return convert(module, self.weights, self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """Convert inside the block what is safe in float16; do nothing in other dtypes."""
        import torch

        if self.dtype != torch.float16:
            return nullcontext()
        return torch.autocast(self.device.type, torch.float16)


def resolve_device(name: str, *, training: bool = True) -> torch.device:
    """Turn the name of a device into torch's.

    Args:
        name: of one of ``DEVICE_FORMS``; "auto" takes the fastest that ``probe`` finds.
        training: whether there will be backward passes, or forward passes alone.

    Raises:
        InvalidSettings: there is no such device here.
    """
    import torch

    check_device(name)
    there = granted_devices()
    if name == AUTO:
        return torch.device(_fastest(there, training=training))
    wanted = _own_card() if name == "cuda" else name
    if wanted not in there:
        raise InvalidSettings(
            f"device {name} is not there ({_why_not(name)}): expected one of {', '.join(there)}; "
            "give one of these, or --device auto"
        )
    if os.environ.get("LOCAL_RANK") not in (None, "0") and name.startswith("cuda:"):
        raise InvalidSettings(
            f"device {name} is one card and several processes were launched: expected one card "
            "for each; give --device cuda"
        )
    return torch.device(wanted)


def device_line(name: str, *, training: bool = True) -> str:
    """Say in one line which device is taken, for a command to print."""
    import torch

    found = resolve_device(name, training=training)
    what = torch.cuda.get_device_name(found) if found.type == "cuda" else ""
    why = "as asked" if name != AUTO else _why(str(found))
    return f"device: {found} ({', '.join(part for part in (what, why) if part)})"


def granted_devices() -> list[str]:
    """List the devices that torch can use here, the processor last."""
    import torch

    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = [f"cuda:{number}" for number in range(cards)]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def free_bytes(device: torch.device) -> int | None:
    """Tell how much memory is free for a computation on a device; None where nobody knows."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    from pathlib import Path

    from edgeswap_runtime.doctor import memory_bytes

    return memory_bytes(Path("/proc/meminfo"))["available"]


def _own_card() -> str:
    """Name the card of this process: each of those launched together has its own."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def _fastest(there: list[str], *, training: bool) -> str:
    """Choose between a card and the processor by a probe of each; a tie is the card's."""
    from edgeswap_compress.fit.dtype import probe

    if there == ["cpu"]:
        return "cpu"
    import torch

    first = _own_card() if there[0].startswith("cuda") else there[0]
    card = probe(first).least_ms(training=training)
    # the processor was timed on one thread, and the best that many can do is to share it evenly
    processor = probe("cpu").least_ms(training=training) / torch.get_num_threads()
    return first if card <= processor else "cpu"


def _why(found: str) -> str:
    there = granted_devices()
    if there == ["cpu"]:
        return "torch finds no other here"
    return "the faster one here"


def _why_not(name: str) -> str:
    import torch

    if name == "mps":
        return "torch finds no Apple GPU"
    if torch.version.cuda is None and not torch.cuda.is_available():
        return f"torch {torch.__version__} was built without CUDA"
    return f"torch finds {torch.cuda.device_count()} CUDA devices"
