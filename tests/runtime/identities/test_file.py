"""Identity files: what comes back, and what is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from edgeswap_runtime.errors import BadIdentity, InvalidRequest, OutputExists
from edgeswap_runtime.identities.file import (
    StoredIdentity,
    encode_identity,
    read_identity,
    write_identity,
)

ARRAYS = {
    "tokens": np.arange(6, dtype=np.float32).reshape(1, 3, 2),
    "vector": np.array([[0.5, -1.0]], dtype=np.float32),
}
STORED = StoredIdentity(
    arrays=ARRAYS, bundle_sha256="ab" * 32, software="edgeswap 1", photos=["ä.jpg", "b.png"]
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "a.identity"
    write_identity(path, STORED)
    return path


def test_what_is_written_comes_back(written: Path) -> None:
    back = read_identity(written, bundle_sha256="ab" * 32)
    assert {name: array.tolist() for name, array in back.arrays.items()} == {
        name: array.tolist() for name, array in ARRAYS.items()
    }
    assert (back.bundle_sha256, back.software) == ("ab" * 32, "edgeswap 1")
    assert list(back.photos) == ["ä.jpg", "b.png"]
    assert written.read_bytes() == encode_identity(back)


def test_the_file_is_safetensors(written: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    found = safetensors.load_file(str(written))
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in ARRAYS.items()
    }


def test_another_bundle_s_identity_is_refused(written: Path) -> None:
    with pytest.raises(BadIdentity, match="abababababab, this one is cdcdcdcdcdcd"):
        read_identity(written, bundle_sha256="cd" * 32)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadIdentity, match="there is no such file"):
        read_identity(tmp_path / "no.identity")


def test_every_flipped_byte_of_the_arrays_is_seen(written: Path) -> None:
    raw = bytearray(written.read_bytes())
    (length,) = struct.unpack("<Q", raw[:8])
    for place in range(8 + length, len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1
        written.write_bytes(changed)
        with pytest.raises(BadIdentity, match="recorded hash"):
            read_identity(written)


def test_every_cut_is_refused(written: Path) -> None:
    raw = written.read_bytes()
    for length in range(len(raw)):
        written.write_bytes(raw[:length])
        with pytest.raises(BadIdentity):
            read_identity(written)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokens": {"dtype": "F16", "shape": [1, 3, 2], "data_offsets": [0, 24]}}, "do not fit"),
        ({"tokens": {"dtype": "F32", "shape": [1, 3, 3], "data_offsets": [0, 24]}}, "do not fit"),
        ({"tokens": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 24]}}, "not stated"),
        ({"tokens": {"dtype": "F32", "shape": [6], "data_offsets": [10**6, 10**6 + 24]}}, "fit"),
        ({"tokens": 3}, "not stated"),
        ({"__metadata__": {"kind": "edgeswap identity", "schema": "2"}}, "schema is 2"),
        ({"__metadata__": {"kind": "another"}}, "does not say"),
    ],
)
def test_headers_that_lie_are_refused(written: Path, change: dict[str, object], words: str) -> None:
    raw = written.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length]) | change
    text = json.dumps(header).encode()
    written.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])
    with pytest.raises(BadIdentity, match=words):
        read_identity(written)


def test_a_taken_path_and_another_suffix(written: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputExists):
        write_identity(written, STORED)
    write_identity(written, STORED, overwrite=True)
    with pytest.raises(InvalidRequest, match=r"ending in \.identity"):
        write_identity(tmp_path / "a.npz", STORED)
    with pytest.raises(InvalidRequest, match="make it first"):
        write_identity(tmp_path / "no" / "a.identity", STORED)


def test_what_is_not_finite_is_not_written() -> None:
    broken = StoredIdentity(
        arrays={"vector": np.array([np.nan], np.float32)}, bundle_sha256="", software=""
    )
    with pytest.raises(InvalidRequest, match="vector"):
        encode_identity(broken)
