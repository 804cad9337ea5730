"""The fuzz study's modules, importable as they are when the study runs as a script."""

from __future__ import annotations

import sys
from pathlib import Path

STUDIES = Path(__file__).parents[2] / "benchmarks" / "studies"
sys.path.insert(0, str(STUDIES))
