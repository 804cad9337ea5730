"""Opening a bundle proves that it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edgeswap_runtime import BadBundle, Bundle
from edgeswap_runtime.bundle.manifest import write_manifest
from edgeswap_runtime.errors import DamagedFile

if TYPE_CHECKING:
    from pathlib import Path


def test_a_whole_bundle_opens(bundle_folder: Path) -> None:
    bundle = Bundle.open(str(bundle_folder))
    assert bundle.manifest.name == "tiny"
    assert bundle.verify() == 5
    assert bundle.graph_paths()["decode"] == bundle_folder / "decode.onnx"


def test_one_flipped_bit_is_found(bundle_folder: Path) -> None:
    file = bundle_folder / "decode.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    pattern = r"decode\.onnx: expected sha256 [0-9a-f]{64}, found sha256 [0-9a-f]{64}; export or"
    with pytest.raises(DamagedFile, match=pattern):
        Bundle.open(bundle_folder)
    assert Bundle.open(bundle_folder, verify=False).manifest.name == "tiny"


def test_a_missing_file_is_found(bundle_folder: Path) -> None:
    (bundle_folder / "encode.onnx").unlink()
    with pytest.raises(BadBundle, match=r"encode\.onnx: expected \d+ bytes, found no file"):
        Bundle.open(bundle_folder)


def test_a_file_nobody_listed_is_found(bundle_folder: Path) -> None:
    (bundle_folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(BadBundle, match=r"extra\.bin: expected no such file, found one"):
        Bundle.open(bundle_folder, verify=False)


def test_size_is_checked_even_without_hashes(bundle_folder: Path) -> None:
    with (bundle_folder / "encode.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BadBundle, match=r"encode\.onnx: expected \d+ bytes, found \d+ bytes"):
        Bundle.open(bundle_folder, verify=False)


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "._encode.onnx"])
def test_what_desktops_leave_behind_is_passed_over(bundle_folder: Path, name: str) -> None:
    (bundle_folder / name).write_bytes(b"x")
    assert Bundle.open(bundle_folder).verify() == 5


def test_a_listed_file_is_checked_whatever_its_name(tiny: Any, tmp_path: Path) -> None:
    """Clutter is passed over while a manifest is written; a graph cannot hide under its name."""
    folder = tiny.write_bundle(tmp_path / "b")
    (folder / "Thumbs.db").write_bytes(b"x")
    manifest = Bundle.open(folder).manifest
    assert "Thumbs.db" not in write_manifest(folder, manifest).files
