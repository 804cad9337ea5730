"""Run one stage in its own process, or find that it has run before."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeswap_export.recipe._errors import BuildBusy, StageFailed, StageRefused
from edgeswap_export.recipe._request import StageRequest
from edgeswap_export.recipe._stages import STAGES
from edgeswap_runtime.files import canonical_json, require_name, sha256_file
from edgeswap_runtime.strict_json import read_json

PACKAGES = ("edgeswap", "torch", "diffusers", "torch-pruning", "onnx", "onnxscript", "onnxruntime")
"""Packages whose versions enter the key of every stage."""

CHILD = "edgeswap_export.recipe._child"
WAIT_S = 20.0
"""Seconds that the last stage of a killed build may take to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Folder of a stage's result, named by the hash of everything that the result depends on.

    Attributes:
        folder: holds `out`, the result; `run`, the state of an unfinished stage; `report.json`.
        key: the hash, 64 hex digits.
    """

    folder: Path
    key: str

    @property
    def out(self) -> Path:
        """The checkpoint or bundle that was made."""
        return self.folder / "out"

    @property
    def report(self) -> Path:
        """The file with what the command printed; it is there once the stage has ended well."""
        return self.folder / "report.json"

    def finished(self, makes: str | None) -> bool:
        """Whether the stage is done; `makes` is that of its BuildStage."""
        return self.report.is_file() and (makes is None or self.out.is_dir())


def home_of(stages: Path, request: StageRequest, given: Mapping[str, Path], folder: Path) -> Home:
    """Name the folder of a stage's result.

    Args:
        stages: folder of all stages.
        request: the stage and its options.
        given: role -> the checkpoint or bundle that the stage reads.
        folder: what paths among the options are relative to.
    """
    inputs = {
        "stage": request.stage,
        "arguments": request.arguments,
        "given": {role: fingerprint(path) for role, path in given.items()},
        "named": {name: fingerprint(folder / name) for name in request.inputs},
        "versions": {name: _version(name) for name in PACKAGES},
    }
    key = hashlib.sha256(canonical_json(inputs)).hexdigest()
    return Home(folder=stages / f"{request.stage}-{key[:16]}", key=key)


def run_stage(
    request: StageRequest, arguments: list[str], home: Home, folder: Path, held: int
) -> None:
    """Run a stage's command in its own process; an interrupted run continues.

    Args:
        request: the stage.
        arguments: of its command, with the folders.
        home: where its result goes.
        folder: what paths among the options are relative to.
        held: the file descriptor from `alone_in`.

    Raises:
        StageRefused: it ended with exit code 2, or stopped before it was done.
        StageFailed: it ended in another way; its message is on standard error.
    """
    home.folder.mkdir(parents=True, exist_ok=True)
    for left in home.folder.glob(".*.partial"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    if home.out.exists():  # complete, but killed before its report was written
        shutil.rmtree(home.out)
    printed = home.folder / ".report.partial"
    words = STAGES[request.stage].words
    line = [sys.executable, "-m", CHILD, *words, *arguments, "--json"]
    with printed.open("wb") as file:
        code = _wait(line, folder, file, held)
    if code:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        said = f"stage {request.stage} {how}; its own message stands above"
        raise StageRefused(said) if code == 2 else StageFailed(said)
    if STAGES[request.stage].makes is not None and not home.out.is_dir():
        raise StageRefused(
            f"stage {request.stage} stopped before it was done, as its options ask; the same"
            " command continues"
        )
    read_json(printed)
    printed.replace(home.report)


def _wait(line: list[str], folder: Path, output: Any, held: int) -> int:
    process = subprocess.Popen(
        line, cwd=folder, stdin=subprocess.PIPE, stdout=output, pass_fds=(held,)
    )
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


def fingerprint(path: Path) -> str:
    """Hash a file's bytes, or the names and bytes of all files in a folder."""
    if path.is_file():
        return sha256_file(path)
    entries = [
        (file.relative_to(path).as_posix(), sha256_file(file))
        for file in sorted(path.rglob("*"))
        if file.is_file()
    ]
    return hashlib.sha256(canonical_json(entries)).hexdigest()


@contextlib.contextmanager
def alone_in(folder: Path, tell: Callable[[str], None], wait_s: float = WAIT_S) -> Iterator[int]:
    """Lock a build's folder, after waiting for a stage that a killed build has left running.

    Args:
        folder: the build's folder; it is made where it is missing.
        tell: called with one line if there is something to wait for.
        wait_s: seconds to wait at most.

    Yields:
        a file descriptor that the stages' processes inherit, so that they hold the lock too.

    Raises:
        InvalidRequest: the folder's name is too long.
        BuildBusy: another process keeps the lock.
    """
    import fcntl  # not on Windows
    import os
    import time

    for part in (folder, *folder.parents):
        require_name(part)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline, told = time.monotonic() + wait_s, False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise BuildBusy(folder) from error
                if not told:
                    tell(f"waiting for what is still at work in {folder}")
                    told = True
                time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
