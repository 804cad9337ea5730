"""The packaged bundle: there, whole, small, and used where no other is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeswap_runtime import Bundle, Swapper, read_picture
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.cli import main
from edgeswap_runtime.pictures.portraits import packaged_portraits

PORTRAITS = {path.stem: path for path in packaged_portraits()}


def test_it_is_whole_small_and_says_whose_it_is() -> None:
    bundle = Bundle.open(default_bundle())
    assert sum(entry.bytes for entry in bundle.manifest.files.values()) < 15_000_000
    stated = {entry.what: (entry.license, entry.origin) for entry in bundle.manifest.licenses}
    assert stated["swap model"] == ("Apache-2.0", "edgeswap, trained on rendered faces")
    assert stated["face detector"][0] == "MIT"


def test_a_swapper_without_a_bundle_swaps_with_it() -> None:
    target = read_picture(PORTRAITS["target-1"])
    with Swapper.open(threads=1) as swapper:
        assert swapper.bundle.path == default_bundle()
        swapped = swapper.swap(target, swapper.identity(PORTRAITS["source-1"]))
    changed = np.abs(swapped.astype(int) - target).max(axis=2) > 8
    assert 0.01 < changed.mean() < 0.5


def test_swap_without_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = ["--source", str(PORTRAITS["source-2"]), "--target", str(PORTRAITS["target-2"])]
    out = tmp_path / "swapped.png"
    assert main(["swap", *pictures, "--out", str(out), "--threads", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bundle_sha256"] == Bundle.open(default_bundle()).manifest.manifest_sha256
    assert out.exists()
