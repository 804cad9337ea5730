"""`edgeswap inspect` and `edgeswap verify`."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from edgeswap_runtime.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def test_inspect_tells_what_a_bundle_is(
    bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(bundle_folder)]) == 0
    shown = capsys.readouterr().out
    for part in ("tiny", "24 x 24 px", "denoise.onnx, fp32", "sample 1x108x4x4 float32",
                 "one", "(default)", "CC0-1.0"):  # fmt: skip
        assert part in shown
    assert "verified" not in shown


def test_inspect_json_is_one_object(
    bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(bundle_folder), "--verify", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verified"] is True
    on_disk = json.loads((bundle_folder / "manifest.json").read_bytes())
    assert report["manifest"] == on_disk
    sizes = [p.stat().st_size for p in bundle_folder.glob("*.onnx")]
    assert report["total_bytes"] == sum(sizes)


@pytest.mark.parametrize("command", [["verify"], ["inspect", "--verify"]])
def test_whole_and_damaged(
    bundle_folder: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([*command, str(bundle_folder)]) == 0
    assert "5 files" in capsys.readouterr().out
    (bundle_folder / "encode.onnx").write_bytes(b"x")
    assert main([*command, str(bundle_folder)]) == 2
    line = capsys.readouterr().err
    assert "encode.onnx: expected sha256" in line and line.count("\n") == 1


def test_verify_json(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle_folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verified"] is True and report["files"] == 5


def test_a_bundle_without_a_detector(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny.write_bundle(tmp_path / "crops", graphs=tiny.crop_graphs())
    assert main(["inspect", str(folder)]) == 0
    assert "detector    none: aligned crops only" in capsys.readouterr().out
    assert main(["verify", str(folder)]) == 0
    assert "4 files verified" in capsys.readouterr().out


ODD: list[Any] = [None, 1, "x", [], [1], {}, {"a": 1}, {"a": {"relative": "x"}}, [[{}]], True]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_facts_of_odd_types(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], odd: Any
) -> None:
    """What has no schema may be anything, and is shown or passed over."""
    parities = [
        {"backend": odd, "reference": odd, "graphs": odd, "swaps": odd, "single_file": odd},
        {"backend": "a", "reference": "b", "graphs": {"encode": odd}, "swaps": {"one": odd}},
        {"graphs": {"encode": {"x": odd}}, "swaps": {"one": {"max_abs": odd}}, "backend": 1,
         "reference": 2, "single_file": {"max_abs": odd, "file": odd}},
        {"anything": odd},
    ]  # fmt: skip
    for number, parity in enumerate(parities):
        changes = {"parity": parity, "quality": {"x": odd}, "history": (odd, {"stage": odd})}
        folder = tiny.write_bundle(tmp_path / str(number), **changes)
        assert main(["inspect", str(folder)]) == 0
        assert main(["inspect", str(folder), "--json"]) == 0
        capsys.readouterr()


def test_parity_is_told(tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"relative": 1e-6, "max_abs": 2e-6}
    parity = {
        "backend": "A", "reference": "B", "graphs": {"encode": {"target_latents": figures}},
        "swaps": {"one": {"max_abs": 3e-6}, "two": "not compared"},
        "single_file": {"file": "swap.onnx", "max_abs": 4e-6, "schedule": "one"},
    }  # fmt: skip
    assert main(["inspect", str(tiny.write_bundle(tmp_path / "b", parity=parity))]) == 0
    shown = capsys.readouterr().out
    for part in ("A against B", "encode: 1.0e-06 standard deviations", "1 schedules: swaps differ",
                 "swap.onnx: 4.0e-06 from the graphs"):  # fmt: skip
        assert part in shown


def test_neither_bundle_nor_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path)]) == 2
    expected = (
        "is no bundle or checkpoint: expected a folder with manifest.json or swap.json, found"
    )
    assert f"{expected} an empty folder; make one with" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "nowhere")]) == 2
    assert f"{expected} nothing; make one with" in capsys.readouterr().err


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "swap.json").write_text("{}")
    return tmp_path


def test_checkpoints_are_handed_on(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    module = ModuleType("edgeswap_compress.checkpoint.inspect")
    module.command = lambda argv: seen.append(argv) or 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "edgeswap_compress.checkpoint.inspect", module)
    path = str(checkpoint)
    assert main(["inspect", path, "--json"]) == 0
    assert main(["verify", path, "--json"]) == 0
    assert seen == [[path, "--json"], [path, "--verify", "--json"]]


def test_checkpoints_need_the_extra(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module: Any = ModuleType("edgeswap_compress.checkpoint.inspect")

    def command(argv: list[str]) -> int:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    module.command = command
    monkeypatch.setitem(sys.modules, "edgeswap_compress.checkpoint.inspect", module)
    assert main(["verify", str(checkpoint)]) == 2
    line = capsys.readouterr().err
    assert "edgeswap verify CHECKPOINT needs the 'compress' extra (torch is not installed)" in line
