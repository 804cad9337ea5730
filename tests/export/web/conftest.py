"""A page of the packaged bundle, served, and a browser."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgeswap_compress.data.assets import asset
from edgeswap_compress.errors import AssetMissing
from edgeswap_export.web import open_page_server, web
from edgeswap_export.web.stage import RUNTIME
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

LIVE_TESTS = Path(__file__).parents[2] / "runtime" / "live"
CACHE = cache_folder()
"""The user's own: the tests of this folder's parent put another in its place later."""


def load(name: str) -> Any:
    """Import a module of the tests of the live page by its path."""
    spec = importlib.util.spec_from_file_location(f"edgeswap_web_{name}", LIVE_TESTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cache() -> Path:
    """The cache that holds ONNX Runtime for browsers."""
    try:
        asset(RUNTIME, CACHE)
    except AssetMissing as error:
        pytest.skip(str(error))
    return CACHE


@pytest.fixture(scope="session")
def page(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESWAP_CACHE", str(cache))
        return web(default_bundle(), tmp_path_factory.mktemp("web") / "page")


@pytest.fixture
def address(page: Path) -> Iterator[str]:
    """Where the page is served."""
    with open_page_server(page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """Headless Chromium; its fake camera plays a film of two people."""
    chromium, live = load("chromium"), load("conftest")
    if chromium.PROGRAM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    camera = tmp_path / "camera.y4m"
    live.write_camera_film(camera)
    try:
        with chromium.Chromium(tmp_path, [f"--use-file-for-fake-video-capture={camera}"]) as one:
            yield one
    finally:
        shutil.rmtree(tmp_path / "profile", ignore_errors=True)
