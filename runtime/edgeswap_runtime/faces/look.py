"""Look at one face in a square view of its own, turned as asked, and map what is seen back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgeswap_runtime.faces.align import cut_region, transform_points
from edgeswap_runtime.faces.detect import Face, decode_faces, fill_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.faces.detect import RunDetector

VIEW_PX = 320
"""The view's side; less where the detector is fixed to less."""
VIEW_PER_BOX = 1.2
"""The view's side in the picture, as a multiple of the longer side of the face's box."""


def look_at(
    picture: NDArray[np.uint8],
    face: Face,
    run: RunDetector,
    *,
    turn_deg: float = 0.0,
    per_box: float = VIEW_PER_BOX,
    shift: tuple[float, float] = (0.0, 0.0),
    canvas: tuple[int, int] | None = None,
) -> tuple[Face, ...]:
    """Detect faces in a square view around one face.

    Args:
        picture: (H, W, 3) uint8, RGB.
        face: where to look.
        run: the detector graph, as `detect_faces` takes it.
        turn_deg: by how much the head is turned in the picture, clockwise; the view shows a head
            turned so as upright.
        per_box: the view's side as a multiple of the longer side of the face's box.
        shift: (right, down) of the view's center from the box's, as a share of that side.
        canvas: (height, width) the graph is fixed to, as for `detect_faces`.

    Returns:
        the faces seen, in picture coordinates.
    """
    box = np.array(face.box).reshape(2, 2)
    side = VIEW_PX if canvas is None else min(VIEW_PX, *canvas)
    box_px = float((box[1] - box[0]).max())
    scale = per_box * box_px / side  # picture px per view px
    linear = scale * _rotation(turn_deg)
    origin = box.mean(0) + box_px * np.array(shift) - linear @ np.full(2, (side - 1) / 2)
    to_picture = np.column_stack([linear, origin])
    tensor = np.zeros((1, 3, *(canvas or (side, side))), dtype=np.float32)
    if turn_deg == 0:
        fill_tensor(tensor, _upright_view(picture, origin, scale, side))
    else:
        fill_tensor(tensor, _turned_view(picture, to_picture, scale, side))
    seen = decode_faces(run(tensor), tensor.shape[2:], (1.0, 1.0))
    return tuple(map_face(one, to_picture) for one in seen)


def _upright_view(
    picture: NDArray[np.uint8], origin: NDArray[np.float64], scale: float, side: int
) -> Image.Image:
    """Cut a square view that is not turned: rows and columns apart, a tenth of the work.

    Args:
        picture: (H, W, 3) uint8, RGB.
        origin: (x, y) of the view's first pixel in the picture.
        scale: picture pixels per view pixel.
        side: of the view, in pixels.
    """
    corners = origin + scale * np.array([[-0.5, -0.5], [side - 0.5, side - 0.5]])
    region, start = cut_region(picture, corners, scale)
    low, high = (corners - start + 0.5).tolist()
    smooth = Image.Resampling.BICUBIC if scale < 1 else Image.Resampling.BILINEAR
    image = Image.fromarray(region)
    return image.resize((side, side), smooth, box=(*low, *high), reducing_gap=1.0)


def _turned_view(
    picture: NDArray[np.uint8], to_picture: NDArray[np.float64], scale: float, side: int
) -> Image.Image:
    """Cut a square view by a (2, 3) matrix; whole pixels are averaged first, then interpolated."""
    corners = transform_points(to_picture, (side - 1) * np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))
    region, start = cut_region(picture, corners, scale)
    reduce = max(1, int(scale))
    image = Image.fromarray(region)
    # Pillow has pixel centers at + 0.5.
    linear = to_picture[:, :2]
    shift = linear @ [-0.5, -0.5] + to_picture[:, 2] + 0.5 - start
    return (image.reduce(reduce) if reduce > 1 else image).transform(
        (side, side),
        Image.Transform.AFFINE,
        tuple((np.column_stack([linear, shift]) / reduce).ravel().tolist()),
        resample=Image.Resampling.BILINEAR,
    )


def map_face(face: Face, matrix: NDArray[np.float64]) -> Face:
    """Carry a face over by a (2, 3) similarity.

    Its box becomes the box around the mapped one after quarter turns, and a square as large as its
    longer side after others: the box around a slanted box would grow with every turn.
    """
    corners = transform_points(matrix, np.array(face.box).reshape(2, 2))
    if 1e-9 < abs(matrix[0, 0]) < (1 - 1e-9) * math.hypot(*matrix[0, :2]):
        left, top, right, bottom = face.box
        half = max(right - left, bottom - top) / 2 * math.hypot(*matrix[0, :2])
        corners = corners.mean(0) + np.array([[-half, -half], [half, half]])
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    return Face(
        box=(left, top, right, bottom),
        landmarks_px=transform_points(matrix, face.landmarks_px),
        score=face.score,
    )


def eye_line_deg(face: Face) -> float:
    """Angle of the line from the right to the left eye, degrees, clockwise, -180 to 180."""
    across, down = face.landmarks_px[1] - face.landmarks_px[0]
    return math.degrees(math.atan2(down, across))


def overlap(one: Face, other: Face) -> float:
    """Intersection over union of two faces' boxes, 0 to 1."""
    a, b = np.array(one.box).reshape(2, 2), np.array(other.box).reshape(2, 2)
    shared = (np.minimum(a[1], b[1]) - np.maximum(a[0], b[0])).clip(0).prod()
    return float(shared / (one.area_px + other.area_px - shared))


def _rotation(degrees: float) -> NDArray[np.float64]:
    """The (2, 2) rotation, clockwise on the screen; exact for quarter turns."""
    quarters, rest = divmod(degrees, 90)
    cosine, sine = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    for _ in range(int(quarters) % 4):
        cosine, sine = -sine, cosine
    return np.array([[cosine, -sine], [sine, cosine]])
