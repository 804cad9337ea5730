"""Make the environment that a peer needs: `environments/NAME`, from the head of `NAME.py`.

    python benchmarks/peers/environment.py optimum_onnx optimum_intel

A peer without an environment of its own runs in the one that `table.py` runs in.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent


def dependencies(script: Path) -> list[str]:
    """Read the packages in a script's head. Source: PEP 723."""
    found = re.search(r"^# dependencies = (\[.*\])$", script.read_text(encoding="utf-8"), re.M)
    if found is None:
        raise SystemExit(f"{script} names no dependencies")
    return list(json.loads(found[1]))


def make(name: str) -> None:
    """Make one environment, or bring it up to date."""
    folder = HERE / "environments" / name
    venv.create(folder, with_pip=True)
    packages = [str(HERE.parents[1]) + package.removeprefix("edgeswap")
                if package.startswith("edgeswap") else package
                for package in dependencies(HERE / f"{name}.py")]  # fmt: skip
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="a peer, without .py")
    for peer in parser.parse_args().names:
        make(peer)
