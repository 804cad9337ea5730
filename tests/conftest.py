"""Loaded before any test: torch's threads sleep while they wait, as in every command of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeswap_runtime.backends.threads import let_waiting_threads_sleep

let_waiting_threads_sleep()


@pytest.fixture(scope="session")
def faces_24_px(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged dataset, two groups of it, at the tiny checkpoint's size."""
    import numpy as np
    from PIL import Image

    from edgeswap_compress.checkpoint.defaults import calibration_dataset
    from edgeswap_compress.data import read_dataset
    from edgeswap_compress.data.grid import Group
    from edgeswap_compress.data.shards import shard_name, write_shard
    from edgeswap_runtime.files import sha256_file, write_json

    folder = tmp_path_factory.mktemp("faces")
    dataset = read_dataset(calibration_dataset())

    def shrunk(pictures: np.ndarray) -> np.ndarray:
        return np.stack([np.asarray(Image.fromarray(p).resize((24, 24))) for p in pictures])

    groups = [
        Group(
            images=shrunk(dataset.images(g)),
            masks=shrunk(dataset.masks(g)),
            landmarks=dataset.landmarks(g) / 4,
        )
        for g in range(2)
    ]
    shard = folder / shard_name(0)
    write_shard(shard, groups)
    manifest = json.loads((calibration_dataset() / "manifest.json").read_text())
    manifest["settings"]["size_px"] = 24
    manifest["groups"], manifest["pictures"] = 2, 2 * len(groups[0].images)
    entry = {"file": shard.name, "groups": 2, "bytes": shard.stat().st_size}
    manifest["shards"] = [{**entry, "sha256": sha256_file(shard)}]
    write_json(folder / "manifest.json", manifest)
    return folder
