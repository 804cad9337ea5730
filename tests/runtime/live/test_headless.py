"""A camera of this machine into a pipe or a virtual camera: a film plays the camera."""

from __future__ import annotations

import io
import sys
import time
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from edgeswap_runtime.errors import CameraNotGranted
from edgeswap_runtime.live.camera import LiveCamera
from edgeswap_runtime.live.headless import LiveReport, swap_camera
from edgeswap_runtime.live.outputs import PipeOutput, VirtualCamera

if TYPE_CHECKING:
    from pathlib import Path

    from edgeswap_runtime import Swapper

WIDTH, HEIGHT, FRAMES = 480, 270, 30


class Kept:
    """Keeps what it is sent."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self.pictures: list[np.ndarray] = []
        self._pause_s = pause_s

    def send(self, rgb: np.ndarray) -> None:
        self.pictures.append(rgb)
        time.sleep(self._pause_s)

    def close(self) -> None:
        pass


def test_a_camera_is_swapped(
    swapper: Swapper, source: Path, camera_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, told, seen = Kept(), list[LiveReport](), list[np.ndarray]()
    given = LiveCamera.__iter__

    def noted(camera: LiveCamera) -> Any:
        for picture in given(camera):
            seen.append(picture.rgb)
            yield picture

    monkeypatch.setattr(LiveCamera, "__iter__", noted)
    with LiveCamera(str(camera_film)) as camera:
        assert camera.size_px == (WIDTH, HEIGHT) and camera.fps == 15
        identity = swapper.identity(source)
        report = swap_camera(camera, swapper, {2: identity}, kept, progress=told.append)
    assert told[-1] == report and report.pictures == len(kept.pictures) == report.swapped
    assert 1 < report.pictures <= FRAMES and report.pictures + report.dropped <= FRAMES
    for before, after in zip(seen, kept.pictures, strict=True):
        changed = (before != after).any(-1).sum(0)
        assert changed[250:].sum() > 300 and changed[:230].sum() == 0


def test_a_slow_output_loses_pictures_and_no_time(
    swapper: Swapper, source: Path, camera_film: Path
) -> None:
    """Two seconds of film take two seconds and a little, however slow the output is."""
    kept = Kept(pause_s=0.25)
    identity, start = swapper.identity(source), time.monotonic()
    with LiveCamera(str(camera_film)) as camera:
        report = swap_camera(camera, swapper, identity, kept, faces="all")
    assert report.dropped >= 15 and time.monotonic() - start < 8


@pytest.mark.parametrize("name", ["no-such.mp4", "99"])
def test_a_camera_that_is_not_there(name: str) -> None:
    with pytest.raises(CameraNotGranted, match=f"camera '{name}' was not granted"):
        LiveCamera(name)


def test_a_file_that_is_no_film(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"nothing")
    with pytest.raises(CameraNotGranted, match="invalid data"):
        LiveCamera(str(path))


def test_pipes(swapper: Swapper) -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    raw, jpegs = io.BytesIO(), io.BytesIO()
    PipeOutput(raw, "raw", swapper.mark).send(picture)
    assert raw.getvalue() == picture.tobytes()
    output = PipeOutput(jpegs, "mjpeg", swapper.mark)
    for _ in range(2):
        output.send(np.full((64, 64, 3), 90, np.uint8))
    data = jpegs.getvalue()
    assert data.count(b"DigitalSourceType>http") == 2
    with av.open(io.BytesIO(data), format="mjpeg") as container:
        assert len(list(container.decode(video=0))) == 2


class FakeCamera:
    """What pyvirtualcam has, with or without a device."""

    broken: str | None = None
    sent: list[np.ndarray]

    def __init__(self, width: int, height: int, fps: float) -> None:
        if self.broken:
            raise RuntimeError(self.broken)
        self.device, type(self).sent = f"/dev/video9 {width}x{height}", []

    def send(self, frame: np.ndarray) -> None:
        self.sent.append(frame)

    def close(self) -> None:
        pass


def test_a_virtual_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = type(sys)("pyvirtualcam")
    module.Camera = FakeCamera
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    camera = VirtualCamera((4, 3), 25)
    camera.send(np.zeros((3, 4, 3), np.uint8))
    camera.close()
    assert camera.device == "/dev/video9 4x3" and len(FakeCamera.sent) == 1
    monkeypatch.setattr(FakeCamera, "broken", "no\ndevice")
    with pytest.raises(CameraNotGranted, match=r"no device; on Linux: modprobe v4l2loopback"):
        VirtualCamera((4, 3), 25)
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(CameraNotGranted, match=r"pip install .edgeswap\[virtual-camera\]"):
        VirtualCamera((4, 3), 25)
