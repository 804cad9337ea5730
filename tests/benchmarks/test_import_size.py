"""The study of Stable Diffusion's size, on a narrow model, and the timing of what it made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[2] / "benchmarks" / "studies"
BFLOAT16 = "swap, OpenVINO bf16"
"""A processor may refuse it; then the row says so and the others go on."""


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.timeout(3600)
def test_the_whole_way_and_its_timing(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    words = ["--folder", str(tmp_path), "--width", "32", "--json"]
    done = subprocess.run(
        [sys.executable, str(STUDIES / "import_size.py"), *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {row["step"]: row for row in json.loads(done.stdout)}
    assert [name for name, row in rows.items() if "failed" in row and name != BFLOAT16] == []
    assert all(row["peak_rss_gb"] > 0.05 and row["cpu_seconds"] > 0 for row in rows.values())
    words = ["--folder", str(tmp_path), "--rounds", "1", "--whole", "--json"]
    done = subprocess.run(
        [sys.executable, str(STUDIES / "import_speed.py"), *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert abs(found["composed_less_whole"]) < 0.5
    assert all(times > 0 for times in found["times_diffusers"].values())
