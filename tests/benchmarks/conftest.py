"""Fixtures: a swapper on the runtime tests' tiny bundle."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from numpy.typing import NDArray

    from edgeswap_runtime import FakeBackend, Swapper


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """tests/runtime/tiny_bundle.py; under --import-mode=importlib tests are no package."""
    path = Path(__file__).parents[1] / "runtime" / "tiny_bundle.py"
    spec = importlib.util.spec_from_file_location(f"edgeswap_tests_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fake_backend(tiny: ModuleType) -> FakeBackend:
    """The tiny bundle's graphs as Python functions."""
    from edgeswap_runtime import FakeBackend

    return FakeBackend(tiny.fake_graphs())


@pytest.fixture
def swapper(tiny: ModuleType, fake_backend: FakeBackend) -> Iterator[Swapper]:
    """A swapper of the tiny bundle on the fake backend."""
    from edgeswap_runtime import Bundle, Swapper

    bundle = Bundle(path=Path("tiny"), manifest=tiny.manifest(quality={"psnr_db": 30.5}))
    with Swapper.open(bundle, backend=fake_backend) as opened:
        yield opened


@pytest.fixture
def bundle_folder(tmp_path: Path, tiny: ModuleType) -> Path:
    """The tiny bundle, on disk, as ONNX."""
    folder: Path = tiny.write_bundle(tmp_path / "bundle")
    return folder


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """(64, 64, 3) uint8, bright: the tiny detector sees its face in it."""
    return np.random.default_rng(0).integers(50, 200, (64, 64, 3), dtype=np.uint8)


@pytest.fixture
def photo_file(tmp_path: Path, photo: NDArray[np.uint8]) -> Callable[[str], Path]:
    """Saves that picture under a name."""

    def make(name: str) -> Path:
        Image.fromarray(photo).save(tmp_path / name)
        return tmp_path / name

    return make
