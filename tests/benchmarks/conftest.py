"""Fixtures: a swapper on the runtime tests' tiny bundle."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from numpy.typing import NDArray

    from edgeswap_bench import BundleSubject
    from edgeswap_runtime import FakeBackend


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


@pytest.fixture(scope="session")
def examined() -> dict[str, Any]:
    """This machine's description: half a second, once."""
    from edgeswap_bench.trust.environment import environment

    return environment()


@pytest.fixture(autouse=True)
def _described_once(examined: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeswap_bench.measure.run.environment", lambda: dict(examined))


@pytest.fixture
def fake_backend(tiny: ModuleType) -> FakeBackend:
    """The tiny bundle's graphs as Python functions."""
    from edgeswap_runtime import FakeBackend

    return FakeBackend(tiny.fake_graphs())


@pytest.fixture
def subject(
    tiny: ModuleType, fake_backend: FakeBackend, photo: NDArray[np.uint8]
) -> Callable[..., BundleSubject]:
    """Makes a subject of the tiny bundle on the fake backend: subject(target=…, label=…)."""
    from edgeswap_bench import BundleSubject
    from edgeswap_runtime import Bundle

    bundle = Bundle(path=Path("tiny"), manifest=tiny.manifest(quality={"psnr_db": 30.5}))

    def make(**changes: Any) -> BundleSubject:
        given: dict[str, Any] = {"source": photo, "target": photo, "backend": fake_backend}
        return BundleSubject(bundle, **(given | changes))

    return make


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
