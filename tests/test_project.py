"""The project itself: what the wheel holds, where links lead, how large modules are."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgeswap_compress.data.assets import PACKAGES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "edgeswap": "runtime",
    "edgeswap_compress": "compress",
    "edgeswap_export": "export",
    "edgeswap_runtime": "runtime",
    "edgeswap_bench": "benchmarks",
}
WEIGHTS = ROOT / "compress" / "edgeswap_compress" / "weights"


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
    """The tracked files of the four packages but the checkpoints, plus the wheel's metadata."""
    packaged = {
        path.relative_to(ROOT / room).as_posix()
        for package, room in ROOMS.items()
        for path in tracked(f"{room}/{package}")
        if WEIGHTS not in path.parents
    }
    found = {name for name in wheel_names if ".dist-info/" not in name}
    untracked = {name for name in found - packaged if "__pycache__" not in name}
    assert packaged <= found
    assert not untracked


def test_the_wheel_carries_licenses_and_something_to_swap_with(wheel_names: list[str]) -> None:
    ends = [name.rpartition("/")[2] for name in wheel_names if ".dist-info/licenses/" in name]
    assert sorted(ends) == ["LICENSE", "THIRD_PARTY.md"]
    assert "edgeswap_runtime/packaged/student/manifest.json" in wheel_names
    assert not [name for name in wheel_names if name.startswith("edgeswap_compress/weights")]


def test_the_wheel_is_small() -> None:
    """Below 22 MB before compression, of which the student's bundle is 14."""
    files = [path for room in ROOMS for path in tracked(f"{ROOMS[room]}/{room}")]
    total = sum(path.stat().st_size for path in files if WEIGHTS not in path.parents)
    assert total <= 22_000_000


def test_the_checkpoints_are_a_distribution_of_their_own(tmp_path: Path) -> None:
    """Its wheel holds every tracked file of the folder, and is found where it is installed."""
    home = ROOT / "compress" / "checkpoints"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=home, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("edgeswap_checkpoints-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {path.relative_to(WEIGHTS).as_posix() for path in tracked(f"{WEIGHTS}")}
    assert held == {f"edgeswap_checkpoints/{name}" for name in {*files, "LICENSE"}}


def test_all_installs_nothing_that_is_not_imported() -> None:
    """Every requirement of the extra `all` is imported somewhere in the packages."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    imported = {
        (name or "").partition(".")[0]
        for room in ROOMS.values()
        for path in tracked(f"{room}/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imported_by(node)
    }
    wanted, waiting = set(), ["all"]
    while waiting:
        for requirement in extras[waiting.pop()]:
            own = re.match(r"edgeswap\[(.*)\]", requirement)
            waiting += own[1].split(",") if own else []
            wanted |= set() if own else {re.split(r"[\[<>=; ]", requirement)[0].replace("-", "_")}
    wanted = {CALLED.get(name, name) for name in wanted}
    assert wanted - imported - BEHIND_OTHERS == set()
    assert not BEHIND_OTHERS & imported


CALLED = {"c2pa_python": "c2pa"}
"""Distribution -> how it is imported, where the two differ."""

BEHIND_OTHERS = {"onnxscript", "websockets"}
"""What torch imports for us, its ONNX exporter; and what uvicorn does."""


def imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


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
    weights = tracked(str(WEIGHTS))
    total = sum(path.stat().st_size for path in weights)
    assert 0 < total <= 48_000_000


def test_third_party_names_what_is_fetched_and_whether_it_is_read() -> None:
    """One row a package, of the version that is fetched; "nothing reads it" only where it is so."""
    text = (ROOT / "THIRD_PARTY.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` (\S+) \((\w+)\) \|(.*)$", text, re.M)
    stated = {(project, version, registry.lower()) for project, version, registry, _ in rows}
    fetched = {(p.project, p.version, p.registry) for p in PACKAGES.values()}
    assert stated == fetched
    rooms = [path for room in ROOMS.values() for path in tracked(f"{room}/*.py")]
    code = "".join(path.read_text() for path in rooms if path.name != "_assets.py")
    for project, _, _, told in rows:
        (key,) = [key for key, package in PACKAGES.items() if package.project == project]
        assert (f'"{key}"' in code) != ("nothing in this version reads it" in told), project
