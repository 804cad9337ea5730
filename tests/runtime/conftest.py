"""Fixtures: the tiny bundle, as files and as a fake; pictures with and without a face."""

from __future__ import annotations

import importlib.util
import struct
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from numpy.typing import NDArray

    from edgeswap_runtime import FakeBackend, Swapper


def _load(path: Path) -> ModuleType:
    """Import a module or package by its path: under importlib mode tests are no package."""
    file = path / "__init__.py" if path.is_dir() else path
    spec = importlib.util.spec_from_file_location(f"edgeswap_tests_{path.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module tiny_bundle.py."""
    return _load(Path(__file__).with_name("tiny_bundle.py"))


@pytest.fixture(scope="session")
def nvidia() -> ModuleType:
    """The package fake_nvidia."""
    return _load(Path(__file__).with_name("fake_nvidia"))


@pytest.fixture
def bundle_folder(tmp_path: Path, tiny: ModuleType) -> Path:
    """The tiny bundle, on disk, as ONNX."""
    folder: Path = tiny.write_bundle(tmp_path / "bundle")
    return folder


@pytest.fixture
def fake_backend(tiny: ModuleType) -> FakeBackend:
    """The tiny bundle's graphs as Python functions."""
    from edgeswap_runtime import FakeBackend

    return FakeBackend(tiny.fake_graphs())


@pytest.fixture
def swapper(tiny: ModuleType, fake_backend: FakeBackend) -> Iterator[Swapper]:
    """A swapper of the tiny bundle on the fake backend."""
    from edgeswap_runtime import Bundle, Swapper

    bundle = Bundle(path=Path("tiny"), manifest=tiny.manifest())
    with Swapper.open(bundle, backend=fake_backend) as opened:
        yield opened


@pytest.fixture
def photo() -> Callable[..., NDArray[np.uint8]]:
    """Makes a smooth, bright picture: photo(seed, height, width) -> (H, W, 3) uint8."""

    def make(seed: int, height: int = 64, width: int = 64) -> NDArray[np.uint8]:
        generator = np.random.default_rng(seed)
        coarse = generator.integers(40, 255, (5, 5, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        return np.array(image)

    return make


@pytest.fixture
def photo_file(tmp_path: Path, photo: Callable[..., NDArray[np.uint8]]) -> Callable[..., Path]:
    """Saves such a picture: photo_file("a.png", seed) -> its path."""

    def make(name: str, seed: int = 0, **size: Any) -> Path:
        path = tmp_path / name
        Image.fromarray(photo(seed, **size)).save(path)
        return path

    return make


@pytest.fixture
def png_header() -> Callable[[int, int], bytes]:
    """A PNG that claims a size, png_header(width, height), and holds no pixels at all."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    def make(width: int, height: int) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        data = chunk(b"IDAT", zlib.compress(b""))
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data

    return make
