"""The project itself: what the wheel holds, where links lead, how large modules are."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "edgeswap_compress": "compress",
    "edgeswap_export": "export",
    "edgeswap_runtime": "runtime",
    "edgeswap_bench": "benchmarks",
}


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, check=True, capture_output=True
    )
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in paths if path.exists()]


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_packages_and_nothing_else(wheel_names: list[str]) -> None:
    """Exactly the tracked files of the four packages, plus the wheel's own metadata."""
    packaged = {
        path.relative_to(ROOT / room).as_posix()
        for package, room in ROOMS.items()
        for path in tracked(f"{room}/{package}")
    }
    found = {name for name in wheel_names if ".dist-info/" not in name}
    untracked = {name for name in found - packaged if "__pycache__" not in name}
    assert packaged <= found
    assert not untracked


def test_the_wheel_carries_licences_and_weights(wheel_names: list[str]) -> None:
    ends = [name.rpartition("/")[2] for name in wheel_names if ".dist-info/licenses/" in name]
    assert sorted(ends) == ["LICENSE", "THIRD_PARTY.md"]
    for model in ("teacher", "student"):
        assert f"edgeswap_compress/weights/{model}/swap.json" in wheel_names


LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize(
    "page", [str(path.relative_to(ROOT)) for path in tracked("*.md")], ids=lambda name: name
)
def test_links_between_pages_resolve(page: str) -> None:
    path = ROOT / page
    targets = [t for t in LINK.findall(path.read_text()) if not t.startswith(("http", "mailto:"))]
    assert [t for t in targets if not (path.parent / t).exists()] == []


def test_modules_and_functions_stay_small() -> None:
    """400 lines a module and 60 a function are the hard stops."""
    too_large = []
    for room in ROOMS.values():
        for path in tracked(f"{room}/*.py"):
            text = path.read_text()
            if text.count("\n") > 400:
                too_large.append(f"{path.name}: {text.count(chr(10))} lines")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or 0) - node.lineno + 1
                    if length > 60:
                        too_large.append(f"{path.name}: {node.name} has {length} lines")
    assert too_large == []


def test_no_pickles_anywhere() -> None:
    """Artifacts are JSON, safetensors, ONNX and pictures."""
    suffixes = {path.suffix for path in tracked(".")}
    assert not suffixes & {".pkl", ".pt", ".pth", ".bin", ".npy", ".npz", ".ckpt"}


def test_default_weights_fit_their_budget() -> None:
    """Teacher and student together stay below 48 MB."""
    weights = tracked("compress/edgeswap_compress/weights")
    total = sum(path.stat().st_size for path in weights)
    assert 0 < total <= 48_000_000
