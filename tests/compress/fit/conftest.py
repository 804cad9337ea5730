"""Fixtures: a card that is not there, and what models are asked on it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from edgeswap_compress.fit.machine.device import Compute
from edgeswap_compress.fit.machine.options import FitMachine
from edgeswap_runtime.cli import COMMANDS, SUBCOMMANDS


@pytest.fixture(scope="session")
def card() -> ModuleType:
    """The module card.py: under importlib mode tests are no package."""
    file = Path(__file__).with_name("card.py")
    spec = importlib.util.spec_from_file_location("edgeswap_tests_card", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def on(
    card: ModuleType, monkeypatch: pytest.MonkeyPatch, noise_dataset: Any, tmp_path: Path
) -> Callable[[torch.device], Any]:
    """Give what objectives are made of on a device, which every stage then computes on."""

    def given(device: torch.device) -> Any:
        def compute(self: Any) -> Compute:
            return Compute(device, torch.float32)

        monkeypatch.setattr(FitMachine, "compute", compute)
        return card.Given(device, noise_dataset, tmp_path)

    return given


@pytest.fixture(scope="session")
def torch_commands() -> dict[str, Any]:
    """Command with a --device that is torch's -> its parser."""
    modules = {name: target for name, (target, _, _) in COMMANDS.items()} | SUBCOMMANDS
    found = {}
    for name, target in modules.items():
        module = target.partition(":")[0]
        if module.startswith(("edgeswap_compress", "edgeswap_export")):
            parser = getattr(importlib.import_module(module), "build_parser", None)
            if parser is not None and "--device" in parser()._option_string_actions:
                found[name] = parser()
    return found
