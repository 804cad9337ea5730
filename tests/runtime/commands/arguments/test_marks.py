"""Marks on the command line: written, read by `edgeswap verify`, and turned off aloud."""

from __future__ import annotations

import json
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgeswap_runtime.cli import main
from edgeswap_runtime.pictures import marks
from edgeswap_runtime.pictures.portraits import packaged_portraits

SOURCE, TARGET = packaged_portraits()[0], packaged_portraits()[-1]


def _swap(out: Path, *more: str) -> int:
    return main(
        ["swap", "--source", str(SOURCE), "--target", str(TARGET), "--out", str(out), *more]
    )


def _verify(path: Path, capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["verify", str(path), "--json"]) == code
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_all_marks_are_written_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("c2pa")
    out = tmp_path / "out.jpg"
    assert _swap(out, "--consent", "A. B., today, tests") == 0
    told = capsys.readouterr().out
    assert "(metadata, watermark, credentials signed by a certificate of this machine)" in told
    report = _verify(out, capsys)
    assert report["metadata"]["software"].startswith("edgeswap ")
    assert report["credentials"]["state"] == "valid"
    assert report["credentials"]["consent"] == "A. B., today, tests"
    assert (report["watermark"]["state"], report["watermark"]["marked_faces"]) == ("found", 1)
    assert main(["verify", str(out)]) == 0
    assert "content credentials: valid, signed by" in capsys.readouterr().out


def test_a_changed_file_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("c2pa")
    out = tmp_path / "out.png"
    assert _swap(out) == 0
    raw = out.read_bytes()
    # A date that nobody signed, in a chunk of its own that decoders pass over.
    chunk = b"tEXtDate\0today"
    data = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    out.write_bytes(raw[:33] + data + raw[33:])
    with Image.open(out) as image:
        assert image.size
    report = _verify(out, capsys, code=2)
    assert report["credentials"]["state"] == "invalid"


def test_what_lost_its_metadata_still_has_the_watermark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    assert _swap(out) == 0
    with Image.open(out) as image:
        image.convert("RGB").save(tmp_path / "again.jpg", quality=80)
    report = _verify(tmp_path / "again.jpg", capsys)
    assert report["metadata"] is None and report["watermark"]["state"] == "found"


def test_turning_marks_off_is_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out.png"
    with caplog.at_level(logging.WARNING):
        assert _swap(out, "--no-credentials", "--no-watermark") == 0
    assert "marked as generated (metadata)" in capsys.readouterr().out
    assert [record.getMessage() for record in caplog.records] == [
        "content credentials are turned off (--no-credentials)",
        "the watermark is turned off (--no-watermark)",
    ]
    report = _verify(out, capsys)
    assert report["metadata"] is not None
    assert report["credentials"] in (None, {"state": "not looked for"})
    assert report["watermark"]["state"] == "not found"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--consent", "x", "--no-credentials"], "leave out --no-credentials"),
        (["--consent", " "], "expected who agreed"),
        (["--certificate", "a.pem"], "belong together"),
        (["--certificate", "a.pem", "--private-key", "b.pem"], "a.pem: No such file"),
    ],
)
def test_refusals(
    more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _swap(tmp_path / "out.png", *more) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_without_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "has_credentials_library", lambda: False)
    assert _swap(tmp_path / "out.png", "--consent", "x") == 2
    assert "edgeswap[provenance]" in capsys.readouterr().err
    assert _swap(tmp_path / "out.png") == 0
    assert "marked as generated (metadata, watermark)" in capsys.readouterr().out


def test_a_file_of_no_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.png"
    path.write_text("no picture")
    assert main(["verify", str(path)]) == 2
    assert "cannot be read as a picture" in capsys.readouterr().err
