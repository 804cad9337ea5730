"""Fixtures: a folder in which the pages' commands run, on tiny models with the pages' names."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

ROOT = Path(__file__).parents[2]
for folder in (ROOT / "docs" / "_ext", Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

if TYPE_CHECKING:
    pass


@pytest.fixture(scope="session")
def tiny_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with guidance."""
    from edgeswap_compress.checkpoint.tiny import tiny_checkpoint

    return tiny_checkpoint(guidance_scale=1.5).save(tmp_path_factory.mktemp("models") / "teacher")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime's tiny bundle, whose detector sees a face in every picture that is not black."""
    import importlib.util

    path = ROOT / "tests" / "runtime" / "tiny_bundle.py"
    spec = importlib.util.spec_from_file_location("edgeswap_tests_docs_bundle", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder: Path = module.write_bundle(tmp_path_factory.mktemp("bundles") / "bundle")
    return folder


@pytest.fixture
def place(
    tiny_teacher: Path,
    small_calibration: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """Makes the folder that the commands run in: place("teacher", "source.png", bundle=...)."""
    import edgeswap_compress
    from edgeswap_runtime.pictures.portraits import packaged_portraits

    portraits = {path.stem: path for path in packaged_portraits()}

    def make(*names: str, **folders: Path) -> Path:
        from PIL import Image

        for name in names:
            if name in ("teacher", "checkpoint"):
                shutil.copytree(tiny_teacher, tmp_path / name)
            else:
                portrait = portraits["source-1" if name[0] in "sa" else "target-1"]
                with Image.open(portrait) as picture:
                    picture.save(tmp_path / name)
        for name, folder in folders.items():
            shutil.copytree(folder, tmp_path / name)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    monkeypatch.setattr(edgeswap_compress, "default_checkpoint", lambda name: tiny_teacher)
    return make
