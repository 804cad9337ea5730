"""Where swapped pictures go without a page: a pipe, or a virtual camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np

from edgeswap_runtime.errors import CameraNotGranted
from edgeswap_runtime.pictures.write import encode_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.pictures.mark import Mark

PIPE_FORMATS = ("mjpeg", "raw")
_JPEG_QUALITY = 92


class PictureOutput(Protocol):
    """Takes pictures, one after the other."""

    def send(self, rgb: NDArray[np.uint8]) -> None:
        """Take a picture, (H, W, 3) uint8, RGB, of one size always."""

    def close(self) -> None:
        """Take no more."""


class PipeOutput:
    """Writes pictures to a stream of bytes.

    Args:
        stream: such as standard output.
        kind: "mjpeg", JPEG after JPEG, each marked as generated; or "raw", RGB bytes alone, which
            hold no mark.
        mark: goes into each JPEG.
    """

    def __init__(self, stream: BinaryIO, kind: str, mark: Mark) -> None:
        self._stream, self._kind, self._mark = stream, kind, mark

    def send(self, rgb: NDArray[np.uint8]) -> None:
        """Write a picture.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        if self._kind == "raw":
            self._stream.write(np.ascontiguousarray(rgb).data)
        else:
            self._stream.write(encode_picture(rgb, "JPEG", self._mark, quality=_JPEG_QUALITY))
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: the stream is its owner's."""


class VirtualCamera:
    """A camera that other programs see; the pictures in it carry no mark.

    Args:
        size_px: (width, height) of all pictures.
        fps: what it says of itself.

    Raises:
        CameraNotGranted: pyvirtualcam is not installed, or the system has no virtual camera.
    """

    def __init__(self, size_px: tuple[int, int], fps: float) -> None:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise CameraNotGranted(
                "virtual", 'install it: python -m pip install "edgeswap[virtual-camera]"'
            ) from error
        try:
            self._camera = pyvirtualcam.Camera(*size_px, fps)
        except (RuntimeError, ValueError, OSError) as error:
            words = " ".join(str(error).split())
            raise CameraNotGranted(
                "virtual",
                f"{words}; on Linux: modprobe v4l2loopback, elsewhere install OBS Studio",
            ) from error
        self.device: str = self._camera.device

    def send(self, rgb: NDArray[np.uint8]) -> None:
        """Show a picture."""
        self._camera.send(np.ascontiguousarray(rgb))

    def close(self) -> None:
        """Take the camera away."""
        self._camera.close()
