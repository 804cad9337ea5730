"""Training in several processes, through Hugging Face Accelerate."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from edgeswap_compress.fit.dtype import resolve_dtype


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

            self._state = PartialState(cpu=True)
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
        from accelerate.utils import reduce

        flat = reduce(torch.cat([tensor.reshape(-1) for tensor in tensors]), reduction="mean")
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


def taken_dtype(name: str) -> str:
    """Agree on the dtype that all processes compute in: "float32" or "bfloat16".

    Args:
        name: one of ``DTYPES``; "auto" is decided by ``probe``, by the main process first.
    """
    with processes().main_first():  # the others read what it found
        found = str(resolve_dtype(name)).removeprefix("torch.")
    return "bfloat16" if processes().any(found == "bfloat16") else "float32"


def _leave_together() -> None:
    """Close the group when all processes are done: a thread of gloo's aborts one left alone."""
    with contextlib.suppress(RuntimeError):  # another process has died: nothing to wait for
        torch.distributed.monitored_barrier(timeout=timedelta(seconds=30))
    torch.distributed.destroy_process_group()


@functools.cache
def processes() -> Processes:
    """Give the processes that this one was launched with."""
    return Processes()
