"""`import edgeswap`: light, typed from outside, and clear about what is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import edgeswap
from edgeswap_runtime.lazy import lazy_names

ROOT = Path(__file__).resolve().parents[1]
CLIENT = """
from pathlib import Path

import edgeswap

with edgeswap.open("bundle", threads=2) as swapper:
    identity: edgeswap.Identity = swapper.identity("source.jpg")
    swapper.save(swapper.swap("target.jpg", identity), Path("swapped.png"))
target = edgeswap.PruneTarget(macs_ratio=0.5)
config = edgeswap.PruneConfig(target=target, choice=edgeswap.PruneChoice(mode="both"))
graphs = edgeswap.GraphsConfig(precision="fp16")
export_config = edgeswap.ExportConfig(
    graphs=graphs,
    schedules=edgeswap.SchedulesConfig(steps=1),
    info=edgeswap.BundleInfo(name="student"),
)
error: type[Exception] = edgeswap.EdgeswapError
opened: edgeswap.Swapper = edgeswap.Swapper.open("bundle")
prune, distill, export = edgeswap.prune, edgeswap.distill, edgeswap.export
checkpoint: type[edgeswap.Checkpoint] = edgeswap.Checkpoint
"""
WRONG = """
import edgeswap

edgeswap.PruneTarget(macs_ratio="half")
edgeswap.no_such_name
edgeswap.open(3)
"""


def test_import_is_light() -> None:
    """At most 0.08 s of processor time above bare Python, and nothing heavy loaded."""
    code = (
        "import time; begun = time.process_time(); import edgeswap; "
        "spent = time.process_time() - begun; import sys; "
        "print(spent, *sorted({'numpy', 'torch', 'PIL', 'onnxruntime'} & set(sys.modules)))"
    )
    spent = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        seconds, *loaded = done.stdout.decode().split()
        assert loaded == []
        spent.append(float(seconds))
    assert min(spent) <= 0.08


def test_the_torch_side_lets_waiting_threads_sleep() -> None:
    """Imported from Python too, not only by a command."""
    code = "import edgeswap_compress, os, sys; print(os.environ['OMP_WAIT_POLICY'], *sys.modules)"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, env=environment
    )
    policy, *loaded = done.stdout.decode().split()
    assert policy == "PASSIVE" and "torch" not in loaded


def test_every_public_name_is_there() -> None:
    assert sorted(edgeswap.__all__) == sorted(set(edgeswap.__all__))
    assert len(edgeswap.__all__) <= 18
    for name in edgeswap.__all__:
        assert getattr(edgeswap, name) is not None
        assert name in dir(edgeswap)
    assert not hasattr(edgeswap, "no_such_name")


def test_a_missing_extra_is_named() -> None:
    get, _ = lazy_names("edgeswap", {"edgeswap_compress.nowhere_at_all": ("prune",)}, extras={})
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        get("prune")
    get, _ = lazy_names("ours", {"absent_package.x": ("prune",)}, extras={"absent_package": "data"})
    with pytest.raises(ModuleNotFoundError, match=r"needs the 'data' extra .*edgeswap\[data\]"):
        get("prune")


@pytest.fixture(scope="module")
def client_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose edgeswap is the installed wheel; the rest is this environment's."""
    folder = tmp_path_factory.mktemp("client")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    (site,) = (folder / "venv").rglob("site-packages")
    install = ["install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    return python


def _check(checker: list[str], source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "client.py"
    file.write_text(source)
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    command = [*checker, str(file)]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_client_of_the_wheel_is_typed(checker: str, client_python: Path, tmp_path: Path) -> None:
    interpreter = {"mypy": "--python-executable", "pyright": "--pythonpath"}[checker]
    command = [sys.executable, "-m", checker, interpreter, str(client_python)]
    if checker == "mypy":
        command += ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache")]
    clean = _check(command, CLIENT, tmp_path)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    wrong = _check(command, WRONG, tmp_path)
    assert wrong.returncode == 1
    for line in (4, 5, 6):
        assert f"client.py:{line}:" in wrong.stdout
