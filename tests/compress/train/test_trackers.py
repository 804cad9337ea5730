"""Trackers: chosen by name, and an error where they are not there."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.trackers import open_tracker


def test_none_is_no_tracker(tmp_path: Path) -> None:
    assert open_tracker("none", tmp_path / "tracker") is None
    assert not (tmp_path / "tracker").exists()


def test_tensorboard_writes_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    tracker = open_tracker("tensorboard", tmp_path)
    assert tracker is not None
    tracker.log(1, {"loss": 0.5})
    tracker.close()
    (events,) = tmp_path.glob("events.out.tfevents.*")
    assert b"loss" in events.read_bytes()


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="expected none or one of"):
        open_tracker("paper", tmp_path)


def test_a_missing_tracker_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_wandb(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "wandb":
            raise ImportError("no wandb", name="wandb")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_wandb)
    with pytest.raises(InvalidSettings, match=r"edgeswap\[trackers\]"):
        open_tracker("wandb", tmp_path)
