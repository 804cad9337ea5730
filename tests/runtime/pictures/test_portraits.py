"""The packaged portraits, if this checkout has them: pictures the runtime itself can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgeswap_runtime import read_picture
from edgeswap_runtime.pictures import portraits as _portraits
from edgeswap_runtime.pictures.portraits import packaged_portraits

if TYPE_CHECKING:
    from pathlib import Path


def test_portraits_come_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_portraits.importlib.resources, "files", lambda name: tmp_path)
    assert packaged_portraits() == []
    (tmp_path / "portraits").mkdir()
    for name in ("b.png", "a.png", "README.md"):
        (tmp_path / "portraits" / name).write_bytes(b"")
    assert [path.name for path in packaged_portraits()] == ["a.png", "b.png"]


def test_packaged_portraits_are_readable() -> None:
    portraits = packaged_portraits()
    if not portraits:
        pytest.skip("no portraits are packaged in this checkout")
    assert len(portraits) >= 2
    for path in portraits:
        assert min(read_picture(path).shape[:2]) >= 128
