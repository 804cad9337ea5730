"""A module of one's own is found by its entry point, tried once, and proven where that can be."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgeswap_compress.checkpoint.conditioner import SwapConditioner
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.conditioning.condition import Condition, Pictures
from edgeswap_compress.conditioning.crops import CropSpec, crop_of_template
from edgeswap_compress.conditioning.plugins import FILES, GROUP
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_compress.importers.tiny.families import tiny_plugin
from edgeswap_runtime.cli import main

pytestmark = pytest.mark.filterwarnings("ignore")

SEEN = "small/source"


class Colors:
    """Says of a source its mean color, as eight tokens of one matrix."""

    def __init__(self, folder: Path, width: int = 64, parts: tuple[str, ...] = ("tokens",)) -> None:
        self.scale = float((folder / "scale.txt").read_text())
        random = torch.Generator().manual_seed(0)
        self.matrix = torch.randn(3, 8 * width, generator=random)
        self.width, self.parts = width, parts

    @property
    def crops(self) -> Mapping[str, CropSpec]:
        return {SEEN: crop_of_template("tight", 32)}

    def graphs(self) -> Mapping[str, Any]:
        return {}

    def condition(self, crops: Pictures) -> Condition:
        return self._of(crops[SEEN].mean((2, 3)))

    def null(self, n: int) -> Condition:
        return self._of(torch.zeros(n, 3))

    def _of(self, mean: Tensor) -> Condition:
        tokens = (self.scale * mean @ self.matrix).view(-1, 8, self.width)
        vector = mean[:, :1] if "vector" in self.parts else None
        return Condition(tokens=tokens, vector=vector)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Stand in for an installed package with entry points "colors", "wide" and "broken"."""
    made = {
        "colors": Colors,
        "wide": lambda folder: Colors(folder, width=32),
        "broken": lambda folder: Colors(folder / "none"),
        "other": lambda folder: object(),
    }

    class Point(importlib.metadata.EntryPoint):
        def load(self) -> Any:
            return made[self.name]

    points = importlib.metadata.EntryPoints(Point(n, "here:made", GROUP) for n in made)
    plain = importlib.metadata.entry_points

    def found(**choice: Any) -> Any:
        return points if choice.get("group") == GROUP else plain(**choice)

    monkeypatch.setattr(importlib.metadata, "entry_points", found)
    monkeypatch.chdir(tmp_path)
    Path("files").mkdir()
    Path("files/scale.txt").write_text("0.7")


def words(base: Path, *more: object) -> list[str]:
    plain = ["import", "python", base, "out", "--entry", "colors", "--files", "files", "--size",
             64, "--steps", 3, "--guidance", 2, "--license", "x", "--origin", "x",
             *more]  # fmt: skip
    return [str(word) for word in plain]


def test_tokens_are_proven(installed: Any, given: Path, capsys: Any) -> None:
    assert main(words(given / "sd4")) == 0
    assert "proven: 3 steps" in capsys.readouterr().out
    swap = Checkpoint.load("out").swap
    assert swap.has_plugin and swap.crops["small"].size_px == 32
    assert Path("out/conditions/plugin/scale.txt").read_text() == "0.7"


def test_it_is_asked_in_float32_whatever_the_u_net_computes_in(installed: Any, given: Path) -> None:
    """In bfloat16, which distillation takes where it is fast, a module of float32 got bfloat16."""
    assert main(words(given / "sd4")) == 0
    checkpoint = Checkpoint.load("out").to(torch.bfloat16)
    part = SwapConditioner.of(checkpoint)
    pictures = {name: torch.rand(2, 3, crop.size_px, crop.size_px) for name, crop in
                part.crops.items()}  # fmt: skip
    exact = SwapConditioner.of(Checkpoint.load("out")).condition(pictures).tokens
    told = part.condition({name: one.bfloat16() for name, one in pictures.items()}).tokens
    null = part.null(2).tokens
    assert exact is not None and told is not None and null is not None
    assert told.dtype == null.dtype == torch.bfloat16
    assert torch.allclose(told.float(), exact, rtol=0.02, atol=0.02)


def test_an_inpainting_model_s_inputs_are_proven(installed: Any, given: Path, capsys: Any) -> None:
    told = ["--inputs", "noise,mask=repaint,masked_target"]
    assert main(words(given / "sd9", *told)) == 0
    assert "proven: 3 steps" in capsys.readouterr().out


def test_inputs_that_no_pipeline_has_are_not_said_to_be_proven(
    installed: Any, given: Path, capsys: Any
) -> None:
    assert main(words(given / "sd9", "--inputs", "noise,masked_target,mask=keep")) == 0
    assert "not compared: diffusers has no pipeline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--entry", "none"], "expected an installed entry point of edgeswap.conditioners, found"),
        (["--entry", "wide"], "expected tokens of width 64"),
        (["--entry", "other"], "an object with ('crops', 'graphs', 'condition', 'null')"),
        (["--files", "none"], "--files none: expected a folder"),
        (["--inputs", "noise,mask"], "a mask as mask=repaint or mask=keep, found mask"),
        (["--inputs", "noise,hair"], "found hair"),
        (["--inputs", "noise,target"], "expected 4 channels"),
    ],
)
def test_what_does_not_fit(
    installed: Any, given: Path, capsys: Any, more: list[str], message: str
) -> None:
    assert main(words(given / "sd4", *more)) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1 and not Path("out").exists()


def test_a_module_is_named_by_its_file(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tiny_plugin(tmp_path)
    monkeypatch.setenv(FILES, str(file))
    assert main(words(given / "sd4", "--license", "files=MIT")) == 0
    assert "proven: 3 steps" in capsys.readouterr().out
    checkpoint = Checkpoint.load("out")
    stated = {entry.what: entry.license for entry in checkpoint.swap.licenses}
    assert stated == {"base": "x", "files": "MIT"}
    SwapConditioner.of(checkpoint)
    monkeypatch.delenv(FILES)
    with pytest.raises(InvalidCheckpoint, match=r"set EDGESWAP_CONDITIONERS=PLACE/colors\.py"):
        SwapConditioner.of(checkpoint)


@pytest.mark.parametrize(
    ("content", "entry", "message"),
    [
        ("x = 1", "mine", "ImportError: "),
        ("def conditioner(folder", "mine", "SyntaxError: "),
        ("import nothing_of_that_name", "mine", "ModuleNotFoundError: "),
        ("def conditioner(folder):\n    return (folder / 'none').read_text()", "mine", "NotFound"),
        ("x = 1", "place/mine.py", "set EDGESWAP_CONDITIONERS=PLACE/mine.py and say --entry mine"),
        (None, "mine", "EDGESWAP_CONDITIONERS: expected Python files, found mine.py"),
    ],
)
def test_a_file_that_makes_no_conditioner(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any,
    content: str | None, entry: str, message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("files").mkdir()
    if content is not None:
        Path("mine.py").write_text(content)
    monkeypatch.setenv(FILES, "mine.py")
    assert main(words(given / "sd4", "--entry", entry)) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1 and not Path("out").exists()
