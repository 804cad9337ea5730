"""What the READMEs show, runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from edgeswap_runtime.cli import COMMANDS
from edgeswap_runtime.pictures.mark import read_mark
from edgeswap_runtime.pictures.portraits import packaged_portraits

ROOT = Path(__file__).parents[2]


def _blocks(readme: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), re.S)


@pytest.fixture
def workplace(bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the examples name; the packaged bundle needs real faces."""
    names = ("source.jpg", "target.jpg", "a.jpg", "b.jpg")
    for name, portrait in zip(names, packaged_portraits(), strict=False):
        with Image.open(portrait) as picture:
            picture.convert("RGB").save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("readme", ["README.md", "runtime/README.md"])
def test_runtime(workplace: Path, readme: str) -> None:
    (block,) = _blocks(readme)
    exec(compile(block, readme, "exec"), {})
    assert read_mark(workplace / "swapped.png") is not None


def test_benchmarks(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = _blocks("benchmarks/README.md")
    exec(compile(block, "benchmarks/README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0


@pytest.mark.parametrize("readme", ["runtime/README.md", "benchmarks/README.md"])
def test_paths_named_exist(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    room = ROOT / readme.split("/")[0]
    named = re.findall(r"`((?:tests|backends)/[\w/]+\.py)`", text)
    for path in named:
        inside = [ROOT / path, *room.glob(f"*/{path}")]
        assert path == "backends/_mine.py" or any(place.is_file() for place in inside), path


def test_the_first_commands_name_extras_and_commands_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for names in re.findall(r'"(?:\.|edgeswap)\[([\w,]+)\]"', text):
        for extra in names.split(","):
            assert re.search(rf"^{extra} = \[", project, re.M), extra
    commands = set(re.findall(r"^    edgeswap (\w+)", text, re.M))
    assert {"inspect", "prune", "distill", "export", "swap", "bench", "doctor"} <= commands
    assert commands <= set(COMMANDS)
