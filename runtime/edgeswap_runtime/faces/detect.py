"""Detect faces: prepare the YuNet graph's input and decode its outputs, in numpy.

Source: OpenCV `modules/objdetect/src/face_detect.cpp` (`FaceDetectorYNImpl::postProcess`), and
Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023.
"""

from __future__ import annotations

import contextlib
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from edgeswap_runtime.errors import InvalidRequest, NoFaceFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    RunDetector = Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]

DETECT_PX = 640
"""The long side a picture is shrunk to for detection; smaller pictures are taken as they are."""
SCORE_THRESHOLD = 0.6
OVERLAP_THRESHOLD = 0.3
STRIDES = (8, 16, 32)
_LARGEST_STRIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """A face in a picture.

    Attributes:
        box: (left, top, right, bottom), pixels, may reach beyond the picture.
        landmarks_px: (5, 2) float64, x right, y down, pixel centers at integers: right eye (the
            picture's left), left eye, nose tip, right and left mouth corner.
        score: the detector's confidence, 0..1.
    """

    box: tuple[float, float, float, float]
    landmarks_px: NDArray[np.float64]
    score: float

    @property
    def area_px(self) -> float:
        """Area of the box in square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def detect_faces(
    picture: NDArray[np.uint8],
    run: RunDetector,
    *,
    canvas: tuple[int, int] | None = None,
    detect_px: int = DETECT_PX,
) -> tuple[Face, ...]:
    """Find the faces of a picture.

    A face that nearly fills the picture escapes the detector at full size, so a picture in which
    nothing is found is looked at once more at half of it.

    Args:
        picture: (H, W, 3) uint8, RGB.
        run: the detector graph: (1, 3, h, w) float32 BGR 0..255 to its 12 outputs by name.
        canvas: (height, width) the graph is fixed to; None when it takes any multiples of 32.
        detect_px: the long side to shrink to.

    Returns:
        the faces, largest box first.
    """
    for long_side in (detect_px, detect_px // 2):
        tensor, scale = letterbox(picture, long_side, canvas)
        faces = decode_faces(run(tensor), tensor.shape[2:], scale)
        if faces:
            return faces
    return ()


def check_choice(faces: object) -> None:
    """Raise InvalidRequest unless `faces` is "largest", "all", a number or "#K"."""
    as_choice(faces)


def as_choice(faces: object) -> str | int:
    """Return a choice of faces: "largest", "all", a number from 1 as a Python int, or "#K".

    Raises:
        InvalidRequest: it is none of them.
    """
    if isinstance(faces, str) and (faces in ("largest", "all") or place_of(faces)):
        return faces
    with contextlib.suppress(TypeError):
        number = operator.index(faces)  # type: ignore[arg-type]
        if number >= 1 and not isinstance(faces, bool | np.bool_):
            return number
    raise InvalidRequest(
        f"faces is {faces!r}, expected 'largest', 'all' or a number from 1, or '#K' for the K-th "
        "from the left"
    )


def place_of(faces: str | int) -> int:
    """The K of "#K"; 0 for other choices."""
    digits = faces[1:] if isinstance(faces, str) and faces.startswith("#") else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 6 else 0


def from_left(found: tuple[Face, ...]) -> tuple[Face, ...]:
    """Sort faces by their center, left to right."""
    return tuple(sorted(found, key=lambda face: face.box[0] + face.box[2]))


def select_faces(found: tuple[Face, ...], faces: str | int, picture: str) -> tuple[Face, ...]:
    """Choose from the detected faces.

    Args:
        found: largest first, as `detect_faces` gives them.
        faces: "largest", "all", how many, from 1, or "#K" for the K-th from the left.
        picture: how to call the picture in the message.

    Raises:
        NoFaceFound: fewer than asked for.
    """
    place = place_of(faces)
    wanted = faces if isinstance(faces, int) else max(place, 1)
    if len(found) < wanted:
        raise NoFaceFound(picture, found=len(found), wanted=wanted)
    if place:
        return from_left(found)[place - 1 : place]
    return found if faces == "all" else found[:wanted]


def letterbox(
    picture: NDArray[np.uint8], long_side_px: int, canvas: tuple[int, int] | None = None
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Shrink a picture and pad it with black, right and below, to what the detector takes.

    Returns:
        the tensor (1, 3, h, w) float32, BGR, 0..255, and the (x, y) scale from picture to tensor.
    """
    height, width = picture.shape[:2]
    limit = (long_side_px, long_side_px) if canvas is None else canvas
    shrink = min(1.0, limit[0] / height, limit[1] / width, long_side_px / max(height, width))
    small = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    # Of much larger pictures every second, third ... row is enough: two of them are still averaged,
    # and the others, most of the work, are never touched.
    step = max(1, min(int(1 / shrink) // 2, height))
    rows = picture[step // 2 : height // step * step : step]
    resized = Image.fromarray(np.ascontiguousarray(rows))
    if small != resized.size:
        # A gap of 1 averages whole pixels as far as it goes; a larger one does so only from that
        # many times the wanted size, and 2 would do nothing for 1920 x 1080.
        resized = resized.resize(small, Image.Resampling.BILINEAR, reducing_gap=1.0)
    if canvas is None:
        canvas = _whole_strides(small[1]), _whole_strides(small[0])
    tensor = np.zeros((1, 3, *canvas), dtype=np.float32)
    fill_tensor(tensor, resized)
    return tensor, (small[0] / width, small[1] / height)


def fill_tensor(tensor: NDArray[np.float32], picture: Image.Image) -> None:
    """Write a picture into the top left of the detector's input.

    Args:
        tensor: (1, 3, h, w) float32, BGR; changed.
        picture: RGB, no larger than h x w.
    """
    # Pillow takes the channels apart several times faster than a strided copy does.
    for channel, plane in zip((2, 1, 0), picture.split(), strict=True):
        tensor[0, channel, : picture.height, : picture.width] = np.asarray(plane)


def decode_faces(
    outputs: Mapping[str, NDArray[Any]], size: tuple[int, ...], scale: tuple[float, float]
) -> tuple[Face, ...]:
    """Turn the detector's 12 outputs into faces.

    Args:
        outputs: cls_S, obj_S (1, n, 1), bbox_S (1, n, 4), kps_S (1, n, 10) for strides 8, 16, 32.
        size: (height, width) of the detector's input.
        scale: (x, y) factor from picture to detector input.

    Returns:
        the faces in picture coordinates, largest box first, without overlapping duplicates.
    """
    parts = [_decode_stride(outputs, stride, size) for stride in STRIDES]
    scores, boxes, landmarks = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(-scores, kind="stable")
    order = order[_plausible(boxes[order], landmarks[order], size)]
    kept = suppress_overlaps(boxes[order], OVERLAP_THRESHOLD)
    # The detector works on corners at integers; this package on pixel centers.
    factor = np.array(scale)
    faces = [
        Face(
            box=tuple((boxes[i] / np.tile(factor, 2) - 0.5).tolist()),
            landmarks_px=landmarks[i] / factor - 0.5,
            score=float(scores[i]),
        )
        for i in order[kept]
    ]
    return tuple(sorted(faces, key=lambda face: -face.area_px))


def suppress_overlaps(boxes: NDArray[np.float64], threshold: float) -> list[int]:
    """Remove overlapping duplicates by greedy non-maximum suppression.

    Args:
        boxes: (n, 4) left, top, right, bottom, best first.
        threshold: intersection over union above which the later box goes.

    Returns:
        the indices that stay, in order.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    kept: list[int] = []
    for i, box in enumerate(boxes):
        others = boxes[kept]
        low, high = np.maximum(others[:, :2], box[:2]), np.minimum(others[:, 2:], box[2:])
        shared = (high - low).clip(0).prod(1)
        if (shared <= threshold * (areas[kept] + areas[i] - shared)).all():
            kept.append(i)
    return kept


def _decode_stride(
    outputs: Mapping[str, NDArray[Any]], stride: int, size: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Decode one stride: scores (n,), boxes (n, 4), landmarks (n, 5, 2) in input pixels."""
    confidence = outputs[f"cls_{stride}"][0, :, 0].clip(0, 1)
    objectness = outputs[f"obj_{stride}"][0, :, 0].clip(0, 1)
    scores = np.sqrt(confidence.astype(np.float64) * objectness)
    found = np.flatnonzero(scores > SCORE_THRESHOLD)
    row, column = np.divmod(found, size[1] // stride)
    anchors = np.stack([column, row], axis=1).astype(np.float64)
    box = outputs[f"bbox_{stride}"][0, found].astype(np.float64)
    landmarks = outputs[f"kps_{stride}"][0, found].astype(np.float64).reshape(-1, 5, 2)
    with np.errstate(over="ignore", invalid="ignore"):  # `_plausible` drops what comes of it
        center = (anchors + box[:, :2]) * stride
        half = np.exp(box[:, 2:]) * stride / 2
        return (
            scores[found],
            np.concatenate([center - half, center + half], axis=1),
            (landmarks + anchors[:, None]) * stride,
        )


def _plausible(
    boxes: NDArray[np.float64], landmarks: NDArray[np.float64], size: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Select the faces whose numbers are finite and not farther outside than the input is large."""
    numbers = np.concatenate([boxes, landmarks.reshape(len(boxes), 10)], axis=1)
    inside = (numbers >= -max(size)) & (numbers <= 2 * max(size))  # False for NaN
    return np.asarray(inside.all(1))


def _whole_strides(length: int) -> int:
    return -(-length // _LARGEST_STRIDE) * _LARGEST_STRIDE
