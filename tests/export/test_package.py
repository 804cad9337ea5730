"""The package's front door."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgeswap_export
from edgeswap_export import _errors
from edgeswap_runtime.errors import EdgeswapError, EdgeswapFailure

ROOM = Path(edgeswap_export.__file__).parent


def test_public_names() -> None:
    names = edgeswap_export.__all__
    assert len(names) <= 12
    assert all(getattr(edgeswap_export, name).__name__ == name for name in names if name[0] != "S")
    assert set(names) <= set(dir(edgeswap_export))
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        _ = edgeswap_export.absent


def test_import_costs_nothing() -> None:
    code = "import sys, edgeswap_export; print({'torch', 'onnx', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_error_tree_is_drawn() -> None:
    kinds = {
        name: kind
        for name, kind in vars(_errors).items()
        if isinstance(kind, type) and kind.__module__ == _errors.__name__
    }
    drawn = re.findall(r"[├└]── (\w+)", _errors.__doc__ or "")
    assert sorted(drawn) == sorted(kinds)
    for kind in kinds.values():
        assert issubclass(kind, ValueError if issubclass(kind, EdgeswapError) else EdgeswapFailure)


def test_modules_stay_small() -> None:
    for path in ROOM.rglob("_*.py"):
        assert len(path.read_text().splitlines()) <= 400, path.name
