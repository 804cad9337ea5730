"""The slices in which the default models are made: they stop in time, go on, and travel."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    file = ROOT / "scripts" / "default_models.py"
    spec = importlib.util.spec_from_file_location("default_models", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["default_models"] = module
    spec.loader.exec_module(module)
    return module


def of_python(text: str) -> tuple[str, ...]:
    return ("-c", text)


PARSERS = {
    "data": "edgeswap_compress.data.cli",
    "train": "edgeswap_compress.train.cli",
    "prune": "edgeswap_compress.prune.cli",
    "distill": "edgeswap_compress.distill.cli",
    "distill autoencoder": "edgeswap_compress.distill.autoencoder.cli",
    "distill decoder": "edgeswap_compress.distill.decoder.cli",
}


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_every_command_of_the_way_parses(script: ModuleType, scale: float) -> None:
    made = set()
    for stage in script.stages(scale, 2):
        made.add(stage.name)
        two = " ".join(stage.words[:2])
        words = stage.words[2:] if two in PARSERS else stage.words[1:]
        name = two if two in PARSERS else stage.words[0]
        parsed = importlib.import_module(PARSERS[name]).build_parser().parse_args(words)
        needed = {"faces", "heldout", "first", "pruned", "small", "one-step"} & {*words}
        assert needed <= made, f"{stage.name} reads what is made later"
        assert vars(parsed)
    assert {"teacher", "student"} <= made


def test_a_slice_ends_in_time_and_the_next_goes_on(script: ModuleType, tmp_path: Path) -> None:
    make = "import pathlib, sys; pathlib.Path(sys.argv[1]).mkdir()"
    way = (
        script.Stage("a", (*of_python(make), "a")),
        script.Stage("b", of_python("import time; time.sleep(60)")),
        script.Stage("c", (*of_python(make), "c")),
    )
    begun = time.monotonic()
    assert script.go_on(tmp_path, way, [sys.executable], 0.05) == ["b", "c"]
    assert time.monotonic() - begun < 30
    assert (tmp_path / "a").is_dir() and not (tmp_path / "c").exists()
    way = (way[0], script.Stage("b", (*of_python(make), "b")), way[2])
    assert script.go_on(tmp_path, way, [sys.executable], 1.0) == []


def test_a_stage_that_fails_is_named(script: ModuleType, tmp_path: Path) -> None:
    way = (script.Stage("a", of_python("raise SystemExit(2)")),)
    with pytest.raises(SystemExit, match="a failed with exit code 2"):
        script.go_on(tmp_path, way, [sys.executable], 1.0)


def test_a_dataset_is_made_when_it_is_whole(script: ModuleType, tmp_path: Path) -> None:
    stage = script.Stage("faces", (), 4)
    assert not stage.made(tmp_path)
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "manifest.json").write_text('{"groups": 3}')
    assert not stage.made(tmp_path)
    (tmp_path / "faces" / "manifest.json").write_text('{"groups": 4}')
    assert stage.made(tmp_path)


def test_the_state_travels_without_what_is_made_again(script: ModuleType, tmp_path: Path) -> None:
    work, other = tmp_path / "work", tmp_path / "other"
    for name in ("faces/shard", "first.run/state", "first.run/latents-train.safetensors"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(name)
    script.pack(work, tmp_path / "state.tar", script.stages(1.0, 1))
    other.mkdir()
    script.unpack(other, tmp_path / "state.tar")
    found = {p.relative_to(other).as_posix() for p in other.rglob("*") if p.is_file()}
    assert found == {"first.run/state"}
