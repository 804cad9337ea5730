"""Weights of the reference lie on disk while graphs are converted, and come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgeswap_export import ExportConfig, GraphsConfig, SchedulesConfig, export
from edgeswap_export.parity import prove
from edgeswap_export.parity._resting import RestingWeights
from edgeswap_runtime import Bundle


def test_weights_go_and_come_back(tmp_path: Path) -> None:
    one, two = nn.Linear(3, 4), nn.Linear(3, 4)
    two.weight = one.weight  # stored once, and shared again afterwards
    before = {name: value.clone() for name, value in two.state_dict().items()}
    x = torch.ones(1, 3)
    answers = [module(x) for module in (one, two)]
    resting = RestingWeights([one, two], tmp_path / "weights.pt")
    assert [weight.numel() for weight in two.parameters()] == [0, 0]
    assert (tmp_path / "weights.pt").stat().st_size < 4 * (12 + 4 + 4) + 4000
    for _ in range(2):
        resting.load()
        assert all(torch.equal(value, before[name]) for name, value in two.state_dict().items())
        assert all(torch.equal(m(x), a) for m, a in zip((one, two), answers, strict=True))
        assert one.weight is two.weight
        resting.drop()
    resting.end()
    assert torch.equal(one(x), answers[0]) and not (tmp_path / "weights.pt").exists()


def test_a_large_model_gives_the_same_bundle(
    tmp_path: Path, known_graphs: Callable[..., None], guided: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that counts as large rests on disk; its graphs and its proof are the same."""
    known_graphs()
    config = ExportConfig(
        graphs=GraphsConfig(precision="fp16", calibration_swaps=2),
        schedules=SchedulesConfig(others=()),
        detector=False,
    )
    export(guided.checkpoint, config, tmp_path / "small")
    rested = []

    class Noted(RestingWeights):
        def drop(self) -> None:
            super().drop()
            rested.append(True)

    monkeypatch.setattr(prove, "is_large", lambda swap: True)
    monkeypatch.setattr(prove, "RestingWeights", Noted)
    export(guided.checkpoint, config, tmp_path / "large")
    assert len(rested) > 2
    small, large = (Bundle.open(tmp_path / name) for name in ("small", "large"))
    assert sorted(file.name for file in large.path.iterdir()) == sorted(
        file.name for file in small.path.iterdir()
    )
    assert {n: e.sha256 for n, e in large.manifest.files.items()} == {
        n: e.sha256 for n, e in small.manifest.files.items()
    }
    assert large.manifest.parity == small.manifest.parity
