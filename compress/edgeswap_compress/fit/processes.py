"""Training in several processes, through Hugging Face Accelerate."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor

from edgeswap_compress.fit.dtype import DTYPES, resolve_dtype
from edgeswap_compress.fit.machine.device import resolve_device
from edgeswap_compress.fit.machine.options import FitMachine
from edgeswap_compress.fit.machine.savings import require_compiler


class Processes:
    """The processes of one ``accelerate launch``, each with its share of every batch.

    Attributes:
        count: how many there are.
        rank: which this is; 0 writes files, evaluates and shows progress.
    """

    def __init__(self) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = 0
        self._state: Any = None
        if self.count > 1:
            from accelerate import PartialState

            cards = torch.cuda.is_available()
            if cards and not torch.distributed.is_initialized():  # tensors of both are exchanged
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
                torch.distributed.init_process_group("cpu:gloo,cuda:nccl")
            self._state = PartialState(cpu=not cards)
            atexit.register(_leave_together)
            self.count, self.rank = self._state.num_processes, self._state.process_index

    @property
    def main(self) -> bool:
        """Tell whether this process writes files."""
        return self.rank == 0

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace float32 tensors by their means over the processes, in one exchange."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        flat /= self.count
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def any(self, holds: bool) -> bool:
        """Tell whether something holds in one of the processes."""
        found = torch.tensor([float(holds)])
        self.average([found])
        return bool(found > 0)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process go through the block first; the others find what it wrote."""
        if self._state is None:
            yield
        else:
            with self._state.main_process_first():
                yield


Machine = TypeVar("Machine", bound=FitMachine)


def taken_machine(asked: Machine) -> Machine:
    """Decide what is left to be decided of a machine: each process its device, all one dtype.

    Args:
        asked: whose device and dtype may be "auto", which ``probe`` decides, in the main process
            first.

    Raises:
        InvalidSettings: the device is not there, or cannot compile.
    """
    with processes().main_first():  # the others read what it found
        device = resolve_device(asked.device)
        found = str(resolve_dtype(asked.dtype, device)).removeprefix("torch.")
    shorter = [name for name in DTYPES[2:] if processes().any(found == name)]
    if asked.compile:
        require_compiler(device)
    return replace(asked, device=str(device), dtype=(shorter or ["float32"])[0])


def _leave_together() -> None:
    """Close the group when all processes are done: a thread of gloo's aborts one left alone."""
    with contextlib.suppress(RuntimeError):  # another process has died: nothing to wait for
        if torch.cuda.is_available():
            torch.distributed.barrier()
        else:
            torch.distributed.monitored_barrier(timeout=timedelta(seconds=30))
    torch.distributed.destroy_process_group()


@functools.cache
def processes() -> Processes:
    """Give the processes that this one was launched with."""
    return Processes()
