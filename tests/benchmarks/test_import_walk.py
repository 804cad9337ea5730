"""A model of somebody else goes the whole way, each command in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

STUDY = Path(__file__).parents[2] / "benchmarks" / "studies" / "import_walk.py"


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", ["faceid", "faceid_plus", "instantid", "paint", "reface"])
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
    swapped = [tmp_path / family / name for name in ("swapped.png", "swapped-half.png")]
    assert all(Image.open(path).size[0] > 64 for path in swapped)
