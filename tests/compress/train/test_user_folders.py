"""A user's folders of pictures: what is read from them, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_compress.data import open_pictures
from edgeswap_compress.data.folders import LabeledCrops, TripletFolder, usual_mask
from edgeswap_compress.errors import UnusablePictures
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import BadFolder, UnreadablePicture

SIZE = 24


def picture(level: int, width: int = SIZE, height: int = SIZE) -> Image.Image:
    return Image.fromarray(np.full((height, width, 3), level, np.uint8))


def save(image: Image.Image, *names: str | Path) -> Path:
    path = Path(*names)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture
def triplets(tmp_path: Path) -> Path:
    for number in range(2):
        for place, role in enumerate(("source", "target", "truth")):
            save(picture(10 * number + place), tmp_path, "own", role, f"{number}.png")
    return tmp_path / "own"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for person in range(3):
        for number in range(2):
            save(picture(10 * person + number), tmp_path, "own", f"p{person}", f"{number}.png")
    return tmp_path / "own"


def levels(pictures: Any) -> list[list[int]]:
    return [pictures.images(group)[:, 0, 0, 0].tolist() for group in range(len(pictures))]


def test_equal_names_make_triplets(triplets: Path) -> None:
    found = open_pictures(triplets)
    assert isinstance(found, TripletFolder)
    assert levels(found) == [[0, 1, 2], [10, 11, 12]]
    assert found.images(0).shape == (3, SIZE, SIZE, 3)
    assert (found.masks(0) == usual_mask(SIZE)).all()
    assert [row.person for row in found.rows] == [0, 1]


def test_masks_are_taken_where_there_are_any(triplets: Path) -> None:
    for number in range(2):
        save(picture(7 + number), triplets, "mask", f"{number}.png")
    masks = open_pictures(triplets).masks(1)
    assert (masks[0] == usual_mask(SIZE)).all()
    assert (masks[1:] == 8).all()


def test_a_table_names_triplets_masks_and_people(triplets: Path) -> None:
    mask = save(picture(9), triplets, "elsewhere", "m.png")
    lines = [
        "source,target,truth,mask,identity",
        f"source/1.png,target/0.png,truth/1.png,{mask},anna",
        "source/0.png,target/1.png,truth/0.png,,bert",
        "source/1.png,target/1.png,truth/1.png,,anna",
    ]
    (triplets / "triplets.csv").write_text("\n".join(lines))
    found = open_pictures(triplets)
    assert isinstance(found, TripletFolder)
    assert levels(found) == [[10, 1, 12], [0, 11, 2], [10, 11, 12]]
    assert [row.person for row in found.rows] == [0, 1, 0]
    assert (found.masks(0)[1] == 9).all()
    assert (found.masks(1)[1] == usual_mask(SIZE)).all()
    assert open_pictures(triplets / "triplets.csv").digest == found.digest


def test_a_sub_folder_for_each_person(people: Path) -> None:
    found = open_pictures(people)
    assert isinstance(found, LabeledCrops)
    assert levels(found) == [[0], [1], [10], [11], [20], [21]]
    assert found.people.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.masks(3).shape == (1, SIZE, SIZE)


def test_the_usual_mask_is_a_face_in_the_middle() -> None:
    mask = usual_mask(96)
    assert mask[54, 48] == 255
    assert mask[0].max() == mask[:, 0].max() == 0
    assert 0.4 < (mask > 127).mean() < 0.8
    with pytest.raises(ValueError, match="read-only"):
        mask[0, 0] = 1


def test_the_digest_knows_every_byte_and_every_label(people: Path) -> None:
    before = open_pictures(people).digest
    assert open_pictures(people).digest == before
    save(picture(99), people, "p0", "0.png")
    changed = open_pictures(people).digest
    (people / "p2").rename(people / "q2")
    assert len({before, changed, open_pictures(people).digest}) == 3


def test_a_missing_truth_is_named(triplets: Path) -> None:
    (triplets / "truth" / "1.png").unlink()
    with pytest.raises(UnusablePictures, match=r"truth holds no picture '1' \(1 of 2 names"):
        open_pictures(triplets)


def test_truths_missing_altogether_point_to_the_other_kind(triplets: Path) -> None:
    for file in (triplets / "truth").iterdir():
        file.unlink()
    (triplets / "truth").rmdir()
    with pytest.raises(UnusablePictures, match=r"no sub-folder 'truth'.*without truths, sort"):
        open_pictures(triplets)


def test_a_table_line_without_a_truth_is_named(triplets: Path) -> None:
    (triplets / "triplets.csv").write_text("source,target,truth\nsource/0.png,target/0.png,\n")
    with pytest.raises(UnusablePictures, match=r"triplets.csv, line 2: no truth"):
        open_pictures(triplets)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,target\na,b\n", "expected the columns source,target,truth.*found source,target"),
        ("source,target,truth,age\na,b,c,d\n", "found source,target,truth,age"),
        ("", "found nothing"),
        ("source,target,truth\n", "at least one line"),
    ],
)
def test_a_table_of_another_form_is_refused(triplets: Path, text: str, message: str) -> None:
    (triplets / "triplets.csv").write_text(text)
    with pytest.raises(UnusablePictures, match=message):
        open_pictures(triplets)


def test_names_that_differ_in_suffix_alone_are_refused(triplets: Path) -> None:
    save(picture(1), triplets, "source", "0.jpg")
    with pytest.raises(UnusablePictures, match="differ in suffix alone"):
        open_pictures(triplets)


def test_one_picture_of_a_person_is_too_few(people: Path) -> None:
    (people / "p1" / "0.png").unlink()
    with pytest.raises(UnusablePictures, match=r"p1 holds 1 picture: expected at least 2"):
        open_pictures(people)


def test_one_person_is_too_few(people: Path) -> None:
    for name in ("p1", "p2"):
        (people / name).rename(people.parent / name)
    with pytest.raises(UnusablePictures, match="at least 2 people, found 1 sub-folders"):
        open_pictures(people)


def test_an_empty_folder_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UnusablePictures, match=r"manifest.json, triplets.csv, sub-folders"):
        open_pictures(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="is no dataset"):
        open_pictures(tmp_path / "nowhere")


def test_sizes_must_be_one(people: Path) -> None:
    save(picture(0, 36, 36), people, "p2", "0.png")
    with pytest.raises(UnusablePictures, match=r"0.png is 36 x 36: expected 24 x 24 as .*p0.0.png"):
        open_pictures(people)


def test_crops_must_be_square(people: Path) -> None:
    save(picture(0, 24, 36), people, "p0", "0.png")
    with pytest.raises(UnusablePictures, match=r"0.png is 24 x 36: expected a square.*data align"):
        open_pictures(people)


def test_an_unreadable_picture_is_named(people: Path) -> None:
    (people / "p1" / "0.png").write_bytes(b"no picture")
    with pytest.raises(UnreadablePicture, match=r"0.png cannot be read as a picture"):
        open_pictures(people)


def test_the_command_says_it_in_one_line(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (people / "p1" / "0.png").unlink()
    folders = [str(people), str(tmp_path / "out"), "--held-out", str(people)]
    assert main(["train", *folders, "--run", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    device, dtype, error = message.splitlines()  # where and in what it computes is told first
    assert device.startswith("device: ") and dtype.startswith("dtype: ")
    assert error.startswith("edgeswap: ")
    assert "holds 1 picture: expected at least 2 of each person" in message
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "out").exists()
