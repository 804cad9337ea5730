"""Trackers of metrics besides the run folder: none, TensorBoard or wandb (offline)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from edgeswap_compress.errors import InvalidSettings


class Tracker(Protocol):
    """What receives the metrics of a training."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Record values of a step."""
        ...

    def close(self) -> None:
        """Flush and end."""
        ...


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder))

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, folder: Path) -> None:
        import wandb

        self._run: Any = wandb.init(project="edgeswap", dir=str(folder), mode="offline")

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def close(self) -> None:
        self._run.finish()


TRACKERS: dict[str, Callable[[Path], Tracker]] = {"tensorboard": _TensorBoard, "wandb": _Wandb}


def open_tracker(name: str, folder: Path) -> Tracker | None:
    """Open a tracker by name; None for ``"none"``.

    Raises:
        InvalidSettings: an unknown name, or a tracker that is not installed.
    """
    if name == "none":
        return None
    if name not in TRACKERS:
        raise InvalidSettings(f"unknown tracker {name!r}: expected none or one of {list(TRACKERS)}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return TRACKERS[name](folder)
    except ImportError as error:
        raise InvalidSettings(
            f"tracker {name} is not installed ({error.name}): "
            "python -m pip install 'edgeswap[trackers]'"
        ) from error
