"""Frames, answers and people as bytes and text; what is wrong with them in one line."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.live.messages import (
    FrameMessage,
    pack_answer,
    pack_frame,
    parse_people,
    unpack_answer,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def jpeg(image: Image.Image, kind: str = "JPEG") -> bytes:
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


def test_a_frame_comes_back_whole(people: Callable[..., Image.Image]) -> None:
    message = FrameMessage.parse(pack_frame(7, 1.5, jpeg(people())))
    assert (message.number, message.time_s) == (7, 1.5)
    assert np.abs(message.picture().astype(int) - np.asarray(people())).mean() < 4


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (b"x" * 12, "12 bytes"),
        (b"x" * (5 << 20), "5242880 bytes"),
        (pack_frame(1, math.nan, b"x"), "at nan s"),
        (pack_frame(1, 0.0, b"no picture"), "no whole JPEG"),
        (pack_frame(1, 0.0, jpeg(Image.new("RGB", (9, 9)), "PNG")), "no whole JPEG"),
        (pack_frame(1, 0.0, jpeg(Image.new("RGB", (3000, 9)))), "3000 x 9"),
        (pack_frame(1, 0.0, jpeg(Image.new("RGB", (99, 99)))[:300]), "no whole JPEG"),
    ],
)
def test_bad_frames(data: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        FrameMessage.parse(data).picture()


def test_an_answer_comes_back_whole() -> None:
    facts: dict[str, Any] = {"number": 3, "faces": [{"place": 1}]}
    assert unpack_answer(pack_answer(facts, b"jpeg")) == (facts, b"jpeg")
    assert unpack_answer(pack_answer(facts)) == (facts, b"")


def test_people() -> None:
    text = '{"people": {"1": "s1", "12": "gone"}}'
    assert parse_people(text, {"s1", "s2"}) == {1: "s1"}
    for bad in ("", "[]", "{}", '{"people": 3}', '{"people": {"0": "s1"}}',
                '{"people": {"x": "s1"}}', '{"people": {"1": 4}}',
                json.dumps({"people": dict.fromkeys(range(1, 40), "s1")})):  # fmt: skip
        with pytest.raises(InvalidRequest):
            parse_people(bad, {"s1"})
