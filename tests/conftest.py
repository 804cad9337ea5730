"""Loaded before any test: torch's threads sleep while they wait, as in every command of ours."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from edgeswap_runtime.backends.threads import let_waiting_threads_sleep

let_waiting_threads_sleep()

Build = Callable[[Path], object]
"""Fills a folder."""


@pytest.fixture(scope="session", autouse=True)
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder of the tests' own for the certificate that pictures are signed with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESWAP_CONFIG", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Build], Path]:
    """Let all test processes share a folder that takes long to make: ``made_once(name, build)``.

    The process that asks first builds it, the others wait. Tests must not change what is in it.
    """
    home = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        home = home.parent

    def make(name: str, build: Build) -> Path:
        folder, done = home / "shared" / name, home / f"{name}.done"
        with FileLock(home / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                build(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def small_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One group of the packaged dataset at a quarter of its size, to fit the tiny models."""
    from edgeswap_compress.checkpoint.defaults import CALIBRATION
    from edgeswap_compress.data.grid import Group
    from edgeswap_compress.data.shard_files import shard_name, write_shard
    from edgeswap_compress.data.shards import MANIFEST, read_dataset
    from edgeswap_runtime.files import sha256_file, write_json

    whole = read_dataset(CALIBRATION)
    group = Group(
        images=whole.images(0)[:, ::4, ::4],
        masks=whole.masks(0)[:, ::4, ::4],
        landmarks=whole.landmarks(0) / 4,
    )
    folder = tmp_path_factory.mktemp("small-faces")
    file = folder / shard_name(0)
    write_shard(file, [group])
    manifest = json.loads((CALIBRATION / MANIFEST).read_text())
    manifest |= {"groups": 1, "pictures": len(group.images)}
    manifest["settings"]["size_px"] = 24
    manifest["shards"] = [
        {
            "file": file.name,
            "groups": 1,
            "bytes": file.stat().st_size,
            "sha256": sha256_file(file),
        }
    ]
    write_json(folder / MANIFEST, manifest)
    return folder


@pytest.fixture
def small_calibration(small_faces: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That dataset in place of the packaged one."""
    from edgeswap_compress.checkpoint import defaults

    monkeypatch.setattr(defaults, "CALIBRATION", small_faces)
    return small_faces
