"""Swap what a camera sees without a page: from a camera to an output, one picture at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeswap_runtime.video.cast import Cast
from edgeswap_runtime.video.tracks import FaceTracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeswap_runtime.live.camera import LiveCamera
    from edgeswap_runtime.live.outputs import PictureOutput
    from edgeswap_runtime.swapper import Swapper
    from edgeswap_runtime.video.cast import People


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReport:
    """What came through.

    Attributes:
        pictures: sent so far.
        swapped: of them with a swapped face.
        dropped: of the camera's that were too late.
        latency_ms: from the camera's picture to its swap, the last one.
        seconds: since the beginning.
    """

    pictures: int
    swapped: int
    dropped: int
    latency_ms: float
    seconds: float


def swap_camera(
    camera: LiveCamera,
    swapper: Swapper,
    people: People,
    output: PictureOutput,
    *,
    faces: str | int = "largest",
    progress: Callable[[LiveReport], None] | None = None,
) -> LiveReport:
    """Swap a camera's pictures until it ends; the newest next, and none is queued.

    Args:
        camera: gives the pictures.
        swapper: does the swaps.
        people: who is put in, or for each place who.
        output: takes the pictures, also those without a face.
        faces: "largest", "all" or how many, as for `FaceTracker`; where people are named by their
            places it has no meaning.
        progress: called after each picture.

    Raises:
        CameraNotGranted: the camera fails.
        BrokenPipeError: nobody takes the pictures any more.
    """
    tracker, cast = FaceTracker(faces), Cast(swapper, None, people)
    begun = time.perf_counter()
    report = LiveReport(pictures=0, swapped=0, dropped=0, latency_ms=0.0, seconds=0.0)
    for picture in camera:
        taken = time.perf_counter()
        chosen = cast.choose(tracker.find(picture.rgb, swapper.detect, picture.time_s))
        after = cast.swap(picture.rgb, chosen)
        now = time.perf_counter()
        output.send(picture.rgb if after is None else after)
        report = LiveReport(
            pictures=report.pictures + 1,
            swapped=report.swapped + (after is not None),
            dropped=camera.dropped,
            latency_ms=1e3 * (now - taken),
            seconds=time.perf_counter() - begun,
        )
        if progress is not None:
            progress(report)
    return report
