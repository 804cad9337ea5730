"""A page's frames: who is swapped, what is told, and what a bad frame does."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime import Swapper, read_picture
from edgeswap_runtime.errors import InvalidRequest, NoFaceFound, UnreadablePicture
from edgeswap_runtime.identities.convert import store_identity
from edgeswap_runtime.identities.file import write_identity
from edgeswap_runtime.live.messages import pack_frame, unpack_answer
from edgeswap_runtime.live.session import STAGES, LiveSession, swap_photo
from edgeswap_runtime.live.shelf import MOST_SOURCES, SourceShelf
from edgeswap_runtime.pictures.mark import read_mark

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def shelf(swapper: Swapper, source: Path) -> SourceShelf:
    shelf = SourceShelf(swapper)
    shelf.add_file(source.read_bytes(), "a friend.png")
    return shelf


def frame(people: Callable[..., Image.Image], at: int) -> bytes:
    data = io.BytesIO()
    people(at).save(data, "JPEG", quality=95)
    return pack_frame(at + 1, at / 15, data.getvalue())


def changed_columns(before: Image.Image, after: np.ndarray) -> np.ndarray:
    return (np.abs(np.asarray(before).astype(int) - after).max(-1) > 25).sum(0)


def test_the_person_who_is_clicked_gets_the_face(
    swapper: Swapper, shelf: SourceShelf, people: Callable[..., Image.Image], tmp_path: Path
) -> None:
    session = LiveSession(swapper, shelf)
    facts, jpeg = unpack_answer(session.answer(frame(people, 0)))
    assert jpeg == b"" and [one["place"] for one in facts["faces"]] in ([1, 2], [2, 1])
    session.tell('{"people": {"2": "s1"}}')
    for at in (1, 2):
        facts, jpeg = unpack_answer(session.answer(frame(people, at)))
        assert facts["number"] == at + 1 and facts["size"] == [480, 270]
        assert list(facts["ms"]) == list(STAGES) and all(ms > 0 for ms in facts["ms"].values())
        assert sum(facts["ms"].values()) <= facts["total_ms"]
        path = tmp_path / "answer.jpg"
        path.write_bytes(jpeg)
        columns = changed_columns(people(at), read_picture(path))
        assert columns[250:].sum() > 150 and columns[:230].sum() < 20
    mark = read_mark(path)
    assert mark is not None and mark.bundle_sha256 == swapper.bundle.manifest.manifest_sha256
    session.tell('{"people": {}}')
    assert unpack_answer(session.answer(frame(people, 3)))[1] == b""


def test_a_bad_frame_is_told_and_the_next_one_works(
    swapper: Swapper, shelf: SourceShelf, people: Callable[..., Image.Image]
) -> None:
    session = LiveSession(swapper, shelf)
    facts, jpeg = unpack_answer(session.answer(pack_frame(9, 0.0, b"nothing")))
    assert facts["number"] == 9 and "no whole JPEG" in facts["error"] and jpeg == b""
    with pytest.raises(InvalidRequest):
        session.tell("nonsense")
    assert len(unpack_answer(session.answer(frame(people, 0)))[0]["faces"]) == 2


def test_a_film_that_begins_again_is_seen_anew(
    swapper: Swapper, shelf: SourceShelf, people: Callable[..., Image.Image]
) -> None:
    session = LiveSession(swapper, shelf)
    session.put({1: "s1"})
    for at in (5, 0):
        facts, jpeg = unpack_answer(session.answer(frame(people, at)))
        assert sorted(one["place"] for one in facts["faces"]) == [1, 2] and jpeg


def test_the_shelf(swapper: Swapper, shelf: SourceShelf, source: Path) -> None:
    (first,) = shelf
    told = first.to_json()
    assert told["key"] == "s1" and told["name"] == "a friend.png"
    assert told["thumbnail"].startswith("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(first.thumbnail)) as thumbnail:
        assert thumbnail.size == (112, 112)
    with pytest.raises(UnreadablePicture):
        shelf.add_file(b"nothing", "x")
    with pytest.raises(InvalidRequest):
        shelf.add_file(b"", "x")
    empty = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(NoFaceFound, match=r"sky\.png"):
        shelf.add([empty], "sky.png")
    shelf._sources |= dict.fromkeys(map(str, range(MOST_SOURCES)), first)
    with pytest.raises(InvalidRequest, match="remove one"):
        shelf.add([source], "one more")
    assert shelf.remove("s1") and not shelf.remove("s1") and shelf.get("s1") is None


def test_a_person_from_an_identity_file(swapper: Swapper, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "a friend.identity"
    stored = store_identity(swapper.identity(source), swapper.bundle, photos=[source.name])
    write_identity(path, stored)
    shelf = SourceShelf(swapper)
    made = shelf.add([path], path.name)
    again = shelf.add([source], source.name)
    assert made.to_json()["thumbnail"] == "icon.svg"
    assert all(
        np.allclose(part, again.identity.arrays[role])
        for role, part in made.identity.arrays.items()
    )


def test_a_photo_at_its_full_size(
    swapper: Swapper, shelf: SourceShelf, people: Callable[..., Image.Image], tmp_path: Path
) -> None:
    photo = np.asarray(people())
    data = swap_photo(swapper, shelf, photo, [{"at": [0.76, 0.5], "source": "s1"}])
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    columns = changed_columns(people(), read_picture(path))
    assert columns[250:].sum() > 150 and columns[:230].sum() == 0
    assert read_mark(path) is not None
    with pytest.raises(NoFaceFound):
        swap_photo(
            swapper, shelf, np.zeros((64, 64, 3), np.uint8), [{"at": [0, 0], "source": "s1"}]
        )
