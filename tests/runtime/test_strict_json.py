"""Strict JSON: what readers would take differently, or choke on, is refused in one line."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from edgeswap_runtime.strict_json import (
    MAX_DEPTH,
    JsonError,
    parse_json,
    read_json,
    read_json_object,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_plain_values() -> None:
    text = '{"a": [1, -2.5, true, null, "é \\ud83d\\ude00 [[{"], "b": {"c": 18446744073709551615}}'
    assert parse_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("", "Expecting value"),
        ("[1e999]", "1e999 is too large for a number"),
        ("[-1e999]", "-1e999 is too large"),
        ("[NaN]", "NaN is not a number"),
        ("[-Infinity]", "-Infinity is not a number"),
        ("[18446744073709551616]", "does not fit into 64 bits"),
        ("[" + "9" * 100_000 + "]", "does not fit into 64 bits"),
        ('["\\ud800"]', "'\\\\ud800' holds half of a surrogate pair"),
        ('{"\\udc00": 1}', "half of a surrogate pair"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "the key 'b' comes twice"),
        ("[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
        ('{"a":' * 65 + "1" + "}" * 65, f"nested more than {MAX_DEPTH} deep"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    start = time.process_time()
    with pytest.raises(JsonError) as caught:
        parse_json(text.encode())
    assert message.replace("\\\\", "\\") in str(caught.value)
    assert len(str(caught.value)) < 200
    assert time.process_time() - start < 1


def test_brackets_in_strings_are_not_depth() -> None:
    assert parse_json(json.dumps(["[" * 1000 + '"\\']).encode()) == ["[" * 1000 + '"\\']


def test_other_encodings_and_long_files(tmp_path: Path) -> None:
    with pytest.raises(JsonError, match="it is not UTF-8 at byte 0"):
        parse_json("[1]".encode("utf-16"))
    (tmp_path / "a").write_text("[1, 2, 3]")
    assert read_json(tmp_path / "a", limit_bytes=10) == [1, 2, 3]
    (tmp_path / "a").write_text("[1, 2, 3, 4]")
    with pytest.raises(JsonError, match=r"it is longer than 1e-05 MB"):
        read_json(tmp_path / "a", limit_bytes=10)
    assert read_json(tmp_path / "a") == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("[1]", "a list"), ('"a"', "a string"), ("true", "true or false"), ("null", "null"),
     ("1", "a number"), ("1.5", "a number")],
)  # fmt: skip
def test_an_object_is_asked_for(tmp_path: Path, text: str, kind: str) -> None:
    (tmp_path / "a").write_text(text)
    with pytest.raises(JsonError, match=f"expected an object, found {kind}"):
        read_json_object(tmp_path / "a")
    (tmp_path / "a").write_text(f'{{"it": {text}}}')
    assert read_json_object(tmp_path / "a") == {"it": json.loads(text)}
