"""Write files and folders whole or not at all, hash them, and check paths before work."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.errors import BadFolder, InvalidRequest, OutputExists

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1 << 20
MAX_NAME_BYTES = 255
"""Longest file name that the usual file systems take."""
_CLUTTER = frozenset({".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini", ".directory"})


def is_clutter(name: str) -> bool:
    """Return whether a file is one that desktops leave in folders, such as `.DS_Store`.

    Args:
        name: a file's name, without its folder.
    """
    return name in _CLUTTER or name.startswith("._")


def require_name(path: Path) -> None:
    """Check that a file or folder may have this name, before any work is done.

    Raises:
        InvalidRequest: the name is longer than file systems take.
    """
    length = len(os.fsencode(path.name))
    if length > MAX_NAME_BYTES:
        raise InvalidRequest(
            f"the name {path.name[:20]}... has {length} bytes, expected at most "
            f"{MAX_NAME_BYTES}: name another path"
        )


def require_folder(path: Path, *, what: str, holds: str | tuple[str, ...], make: str) -> Path:
    """Check that a path leads to a folder of the right kind, before any work is done.

    Args:
        path: the folder as the caller gave it.
        what: the kind of folder, after "is no": "bundle", "checkpoint", "dataset".
        holds: the file that tells the kind, such as "manifest.json"; of several, one is enough; of
            none, every folder will do.
        make: the command or the step that makes such a folder, after "make one with".

    Returns:
        the path itself.

    Raises:
        BadFolder: there is nothing, no folder, or a folder without such a file.
        OSError: as the system reports it (no permission, a name too long).
    """
    names = (holds,) if isinstance(holds, str) else holds
    if path.is_dir() and (not names or any((path / name).is_file() for name in names)):
        return path
    expected = f"a folder with {' or '.join(names)}" if names else "a folder"
    raise BadFolder(path, what=what, expected=expected, found=_kind_of(path), make=make)


def _kind_of(path: Path, most_names: int = 3) -> str:
    """Say what a path leads to, in a few words."""
    if path.is_dir():
        names = sorted(child.name for child in path.iterdir() if not is_clutter(child.name))
        more = f" and {len(names) - most_names} more" if len(names) > most_names else ""
        held = ", ".join(names[:most_names])
        return f"a folder with {held}{more}" if names else "an empty folder"
    if path.is_file():
        return "a file"
    if path.exists():
        return "a pipe, a socket or a device"
    return "a link that leads nowhere" if path.is_symlink() else "nothing"


def canonical_json(obj: Any) -> bytes:
    """Return the one byte string that stands for a JSON value, for hashing.

    Args:
        obj: what `json.dumps` takes; NaN and infinity raise ValueError.

    Returns:
        UTF-8, keys sorted, no spaces, floats in Python's shortest round-trip form.
    """
    text = json.dumps(
        obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8")


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits; read in chunks of 1 MiB."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Read the beginning of a regular file; refuse a pipe, which could be waited for without end.

    Args:
        path: the file.
        most_bytes: how much of it is read at most.

    Raises:
        OSError: as the system reports it, or because it is a pipe, a socket or a device.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        words = "is a pipe, a socket or a device: expected a file"
        raise OSError(errno.EINVAL, words, str(path))
    with path.open("rb") as file:
        return file.read(most_bytes)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole: a temporary sibling, fsync, then `os.replace`.

    Args:
        path: the file; an existing one is replaced. Its folder must exist.
        data: all of its bytes.

    Raises:
        InvalidRequest: the name is too long.
        OSError: as the system reports it; the old file, if any, is untouched.
    """
    with new_file(path) as temporary, temporary.open("xb") as file:
        file.write(data)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Let a library write a file that appears under its name only when it is complete.

    Args:
        path: the file; an existing one is replaced. Its folder must exist.

    Yields:
        a temporary sibling to write. When the block ends well, it is synced and renamed to `path`;
        when the block raises, it is removed.

    Raises:
        InvalidRequest: the name is too long.
        OSError: as the system reports it; the old file, if any, is untouched.
    """
    require_name(path)
    temporary = _temporary_sibling(path)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _fsync_folder(path.parent)


def write_json(path: Path, obj: Any) -> None:
    """Write JSON through `write_bytes`: sorted keys, indent 1, final newline."""
    text = json.dumps(obj, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8"))


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder that appears under its name only when it is complete.

    Args:
        path: the folder to make; missing parents are made too.

    Yields:
        a temporary sibling to write into. When the block ends well, everything in it is synced
        and it is renamed to `path`; when the block raises, it is removed.

    Raises:
        InvalidRequest: a name is too long.
        OutputExists: `path` exists, at the start or by the time of the renaming.
        OSError: as the system reports it (a full disk, no permission).
    """
    path = Path(path)
    for part in (path, *path.parents):
        require_name(part)
    if os.path.lexists(path):
        raise OutputExists(path)
    made_parents = _make_parents(path.absolute().parent)
    temporary = _temporary_sibling(path.absolute())
    try:
        temporary.mkdir()
        yield temporary
        _fsync_tree(temporary)
        # rename() would silently take the place of an empty folder that appeared meanwhile.
        if os.path.lexists(path):
            raise OutputExists(path)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in made_parents:
            with contextlib.suppress(OSError):  # somebody else may use it by now
                parent.rmdir()
        raise
    _fsync_folder(path.absolute().parent)


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder and its parents; return those that were missing, deepest first."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _temporary_sibling(path: Path) -> Path:
    """Return a free name beside `path`, no longer than names may be."""
    ending = f".{secrets.token_hex(4)}.partial"
    room = MAX_NAME_BYTES - len(ending) - 1
    # Cut by bytes, but never within a character.
    stem = os.fsencode(path.name)[:room].decode(errors="ignore")
    return path.with_name(f".{stem}{ending}")


def _fsync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(root) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        _fsync_folder(Path(root))


def _fsync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder for syncing
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
