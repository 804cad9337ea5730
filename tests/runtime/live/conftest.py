"""A server of the packaged bundle, a camera's film, and a browser."""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest
from PIL import Image

from edgeswap_runtime.pictures.portraits import packaged_portraits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgeswap_runtime import Swapper

CAMERA_FPS = 15


@pytest.fixture(scope="session")
def swapper() -> Iterator[Swapper]:
    """A swapper of the packaged bundle, one thread."""
    from edgeswap_runtime import Swapper

    with Swapper.open(threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def source() -> Path:
    """A photo of somebody who is not in the pictures."""
    return packaged_portraits()[1]


def two_people(at: int = 0) -> Image.Image:
    """A camera's picture: person 1 on the left, person 2 on the right, moving."""
    picture = Image.new("RGB", (480, 270), (120, 130, 140))
    for person, left in ((3, 15 + at // 3), (5, 265 - at // 4)):
        with Image.open(packaged_portraits()[person]) as portrait:
            picture.paste(portrait.convert("RGB").resize((200, 200)), (left, 40))
    return picture


def write_camera_film(path: Path) -> None:
    """Two seconds of it, as Chromium's fake camera plays them."""
    with av.open(str(path), "w", format="yuv4mpegpipe") as container:
        video: Any = container.add_stream("rawvideo", rate=CAMERA_FPS)
        video.width, video.height, video.pix_fmt = 480, 270, "yuv420p"
        for at in range(2 * CAMERA_FPS):
            frame = av.VideoFrame.from_image(two_people(at)).reformat(format="yuv420p")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


@pytest.fixture(scope="session")
def people() -> Callable[..., Image.Image]:
    return two_people


@pytest.fixture(scope="session")
def camera_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The camera's film."""
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    write_camera_film(path)
    return path


@pytest.fixture(scope="session")
def chromium() -> Any:
    """The module chromium.py; skips where there is no Chromium."""
    path = Path(__file__).with_name("chromium.py")
    spec = importlib.util.spec_from_file_location("edgeswap_tests_chromium", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if module.PROGRAM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    return module


@pytest.fixture
def served(swapper: Swapper) -> Iterator[Callable[..., str]]:
    """served(token=...) -> address of a server that runs until the test's end."""
    from edgeswap_runtime.live.app import make_app
    from edgeswap_runtime.live.serve import address_of, listen, serve
    from edgeswap_runtime.live.shelf import SourceShelf

    running: list[Any] = []
    threads: list[threading.Thread] = []

    def start(port: int = 0, token: str | None = None) -> str:
        opened = listen("127.0.0.1", port)
        address = address_of(opened, "127.0.0.1", token)
        app = make_app(swapper, SourceShelf(swapper), token=token)
        ready = threading.Event()

        def note(server: Any) -> None:
            running.append(server)
            ready.set()

        threads.append(threading.Thread(target=serve, args=(app, opened), kwargs={"started": note}))
        threads[-1].start()
        assert ready.wait(30)
        return address

    def stop() -> None:
        for server in running:
            server.should_exit = True
        for thread in threads:
            thread.join()
        running.clear()
        threads.clear()

    start.stop = stop  # type: ignore[attr-defined]
    yield start
    stop()
