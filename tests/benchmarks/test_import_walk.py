"""A model of somebody else goes the whole way, each command in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from edgeswap_compress.importers.tiny.families import TINY_FAMILIES

STUDY = Path(__file__).parents[2] / "benchmarks" / "studies" / "import_walk.py"


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("family", TINY_FAMILIES)
def test_from_files_to_a_swapped_photo(family: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("tensorrt_rtx")
    words = ["--folder", str(tmp_path), "--family", family, "--json"]
    done = subprocess.run(
        [sys.executable, str(STUDY), *words], capture_output=True, text=True, check=False
    )
    rows = json.loads(done.stdout)
    assert [row.get("failed") for row in rows] == [None] * len(rows)
    assert done.returncode == 0
    exact = {row["step"]: row.get("difference") for row in rows}
    assert exact["import"] <= 1e-4 and exact["export fp32, pruned"] <= 1e-4
    assert exact["export fp32, student"] <= 1e-4
    swapped = [tmp_path / family / f"swapped{end}.png" for end in ("", "-half", "-pruned")]
    assert all(Image.open(path).size[0] > 64 for path in swapped)
