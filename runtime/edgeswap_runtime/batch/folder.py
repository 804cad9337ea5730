"""A batch's folder: the pictures, the settings they depend on, and what was done with each."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.errors import InvalidRequest, OutputExists
from edgeswap_runtime.files import write_bytes, write_json
from edgeswap_runtime.strict_json import JsonError, parse_json, read_json_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from edgeswap_runtime.batch.targets import BatchPicture

SETTINGS = "batch.json"
REPORT = "report.jsonl"
FAILURES = "failures.jsonl"
_LOCK = ".batch.lock"
_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFolder:
    """An opened folder of a batch.

    Attributes:
        path: the folder.
        done: names whose picture is there, from earlier runs -> what was reported of each.
    """

    path: Path
    done: dict[str, dict[str, Any]]

    def add(self, entry: dict[str, Any]) -> None:
        """Append what was done with a picture to the report."""
        with (self.path / REPORT).open("ab") as file:
            file.write(_line(entry))

    def finish(self, entries: Iterable[dict[str, Any]]) -> None:
        """Write the report again, one line for each picture in order, and the failures beside it.

        There is no file of failures where there are none.
        """
        lines = list(entries)
        failed = [line for line in lines if line["done"] == "failed"]
        write_bytes(self.path / REPORT, b"".join(map(_line, lines)))
        if failed:
            write_bytes(self.path / FAILURES, b"".join(map(_line, failed)))
        else:
            (self.path / FAILURES).unlink(missing_ok=True)


@contextlib.contextmanager
def opened_folder(
    path: Path, what_matters: dict[str, Any], pictures: Iterable[BatchPicture], *, resume: bool
) -> Iterator[BatchFolder]:
    """Open a batch's folder for one run; no other run may write into it meanwhile.

    Args:
        path: the folder; made where it is missing.
        what_matters: what the pictures depend on.
        pictures: all of the batch.
        resume: go on in a folder that an earlier run left.

    Raises:
        OutputExists: the folder holds something and `resume` is False.
        InvalidRequest: the folder is another batch's, or another run writes into it now.
    """
    names = [picture.name for picture in pictures]
    require_batch_folder(path, resume=resume)
    path.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        body = {"schema": _SCHEMA, "settings": what_matters}
        if (path / SETTINGS).exists():
            _require_same(path, body)
        else:
            write_json(path / SETTINGS, body)
        _remove_partial(path, names)
        told = _read_report(path / REPORT)
        # Again, so that no line follows one that was cut short.
        write_bytes(path / REPORT, b"".join(map(_line, told.values())))
        done = {str(n): told.get(str(n), {"done": "written earlier"}) for n in _there(path, names)}
        yield BatchFolder(path=path, done=done)
        _remove_partial(path, names)


def require_batch_folder(path: Path, *, resume: bool) -> None:
    """Check a batch's folder before any work is done.

    Raises:
        OutputExists: it holds something and `resume` is False.
        InvalidRequest: it is to be resumed and is no batch's.
    """
    if os.path.lexists(path) and not path.is_dir():
        raise OutputExists(path)
    holds = path.is_dir() and any(path.iterdir())
    is_batch = (path / SETTINGS).is_file()
    if holds and not resume:
        hint = "add --resume to go on" if is_batch else "name another folder"
        raise OutputExists(path, hint)
    if resume and not is_batch:
        raise InvalidRequest(f"{path} holds no batch to resume: leave --resume out")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it when the process ends in any way."""
    with (path / _LOCK).open("ab") as file:
        try:
            _lock(file)
        except OSError as error:
            raise InvalidRequest(f"another run writes into {path} now: wait for its end") from error
        yield
        # The file stays: removing it would let two runs hold locks of two files of one name.


def _lock(file: BinaryIO) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _require_same(path: Path, body: dict[str, Any]) -> None:
    try:
        found = read_json_object(path / SETTINGS)
    except JsonError as error:
        raise InvalidRequest(f"{path / SETTINGS} is damaged ({error}): begin anew") from error
    wanted = json.loads(json.dumps(body))
    if found == wanted:
        return
    old, new = found.get("settings"), wanted["settings"]
    old = old if isinstance(old, dict) else {}
    other = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    raise InvalidRequest(
        f"{path} was begun with other {', '.join(other) or 'settings'}: give the same ones, or "
        "name another folder"
    )


def _there(path: Path, names: Iterable[PurePosixPath]) -> Iterator[PurePosixPath]:
    """The names whose picture is there; pictures are written whole or not at all."""
    return (name for name in names if (path / name).is_file())


def _remove_partial(path: Path, names: Iterable[PurePosixPath]) -> None:
    """Remove what workers that were killed had begun to write."""
    for folder in {path / name.parent for name in names}:
        for partial in folder.glob(".*.partial"):
            partial.unlink(missing_ok=True)


def _read_report(path: Path) -> dict[str, dict[str, Any]]:
    """The last line about each picture; a line that was cut short is passed over."""
    if not path.is_file():
        return {}
    told: dict[str, dict[str, Any]] = {}
    for line in path.read_bytes().splitlines():
        try:
            entry = parse_json(line)
        except JsonError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("out"), str) and "done" in entry:
            told[entry["out"]] = entry
    return told


def _line(entry: dict[str, Any]) -> bytes:
    return (json.dumps(entry, ensure_ascii=False) + "\n").encode()
