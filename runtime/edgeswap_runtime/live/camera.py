"""Read a camera, or a film as if it were one, on the machine that swaps."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from edgeswap_runtime.errors import CameraNotGranted
from edgeswap_runtime.live.latest import Latest
from edgeswap_runtime.video.film import open_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_USUAL_FPS = 30.0
_SYSTEMS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
"""System -> FFmpeg's name of its cameras, and how the N-th is called."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraPicture:
    """A picture of a camera.

    Attributes:
        rgb: (H, W, 3) uint8.
        time_s: when it was seen, seconds, rising.
    """

    rgb: NDArray[np.uint8]
    time_s: float


class LiveCamera:
    """Reads pictures in a thread of its own; gives the newest, and drops those that are too late.

    A context manager.

    Args:
        name: the number of a camera, or the path of a film, which is played once at its own rate.

    Raises:
        CameraNotGranted: there is no such camera or film, or it gives no pictures.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_film = not name.isdigit()
        self._container: Any = _open(name)
        if not self._container.streams.video:
            self._container.close()
            raise CameraNotGranted(name, "it has no pictures")
        stream = self._container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else _USUAL_FPS
        self.size_px = (stream.codec_context.width, stream.codec_context.height)
        self._latest = Latest[CameraPicture]()
        self._stopped = threading.Event()
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._read, name="edgeswap-camera", daemon=True)
        self._thread.start()

    def __enter__(self) -> LiveCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def dropped(self) -> int:
        """Pictures that came and were not given, as newer ones were there."""
        return self._latest.dropped

    def __iter__(self) -> Iterator[CameraPicture]:
        """The newest picture each time, until the film ends or the camera is taken away.

        Raises:
            CameraNotGranted: reading failed.
        """
        while (picture := self._latest.take()) is not None:
            yield picture
        if self._problem is not None:
            raise CameraNotGranted(self._name, self._problem)

    def close(self) -> None:
        """Stop reading."""
        self._stopped.set()
        self._latest.close()
        self._thread.join()

    def _read(self) -> None:
        start = time.monotonic()
        try:
            for frame in self._container.decode(video=0):
                now = time.monotonic() - start
                if self._is_film and frame.time is not None:
                    self._stopped.wait(max(0.0, frame.time - now))
                if self._stopped.is_set():
                    break
                rgb = frame.to_ndarray(format="rgb24")
                self._latest.put(CameraPicture(rgb=rgb, time_s=time.monotonic() - start))
        except (av.FFmpegError, OSError, ValueError) as error:
            self._problem = f"it stopped: {getattr(error, 'strerror', None) or error}"
        finally:
            self._latest.close()
            self._container.close()


def _open(name: str) -> Any:
    try:
        if not name.isdigit():
            if not Path(name).is_file():
                raise CameraNotGranted(name, "there is no such file; a camera is a number, from 0")
            return open_input(name)
        if sys.platform not in _SYSTEMS:
            raise CameraNotGranted(
                name, "cameras by number are read on Linux and macOS: use the page instead"
            )
        kind, pattern = _SYSTEMS[sys.platform]
        options = {"framerate": "30"} if kind == "avfoundation" else {}
        return av.open(pattern.format(int(name)), format=kind, options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise CameraNotGranted(name, why.lower()) from error
