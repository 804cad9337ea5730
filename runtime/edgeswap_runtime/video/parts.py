"""Keep finished parts of a film beside it, so that a run that was ended can go on.

A part is a file of encoded packets and of what the next part depends on (the tracks); it appears
whole or not at all. Parts are of as many frames in every run, so that a run in one go and one that
was resumed give the same packets.
"""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_runtime.errors import InvalidRequest, OutputExists
from edgeswap_runtime.files import new_folder, write_bytes, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_JOB = "job.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedFrame:
    """A packet of the new film.

    Attributes:
        data: its bytes.
        pts: presentation timestamp, in the film's time base.
        duration: in the same unit; 0 where unknown.
        is_key: decoding can begin here.
    """

    data: bytes
    pts: int
    duration: int
    is_key: bool


class FilmParts:
    """The folder of parts of one film.

    Args:
        folder: exists, from `open_parts`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        while self._path(self._count).is_file():
            self._count += 1

    def state(self) -> dict[str, Any] | None:
        """What the last finished part says the next one depends on; None before the first."""
        if self._count == 0:
            return None
        with np.load(self._path(self._count - 1), allow_pickle=False) as arrays:
            state: dict[str, Any] = json.loads(bytes(arrays["state"]))
        return state

    def add(self, frames: Sequence[EncodedFrame], state: dict[str, Any]) -> None:
        """Keep one more part.

        Args:
            frames: its packets, in decoding order.
            state: JSON values, for `state`.
        """
        buffer = io.BytesIO()
        np.savez(
            buffer,
            data=np.frombuffer(b"".join(frame.data for frame in frames), np.uint8),
            sizes=np.array([len(frame.data) for frame in frames], np.int64),
            pts=np.array([frame.pts for frame in frames], np.int64),
            durations=np.array([frame.duration for frame in frames], np.int64),
            keys=np.array([frame.is_key for frame in frames], bool),
            state=np.frombuffer(json.dumps(state).encode(), np.uint8),
        )
        write_bytes(self._path(self._count), buffer.getvalue())
        self._count += 1

    def timestamps(self) -> list[NDArray[np.int64]]:
        """The presentation timestamps of each part, in decoding order."""
        found = []
        for number in range(self._count):
            with np.load(self._path(number), allow_pickle=False) as arrays:
                found.append(arrays["pts"])
        return found

    def frames(self) -> Iterator[EncodedFrame]:
        """All packets in decoding order; one part at a time is in memory."""
        for number in range(self._count):
            with np.load(self._path(number), allow_pickle=False) as arrays:
                data = arrays["data"].tobytes()
                columns = [arrays[name].tolist() for name in ("sizes", "pts", "durations", "keys")]
            at = 0
            for size, pts, duration, key in zip(*columns, strict=True):
                packet = data[at : at + size]
                yield EncodedFrame(data=packet, pts=pts, duration=duration, is_key=key)
                at += size

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.npz"


def parts_folder(out: Path) -> Path:
    """Where the parts of a film are kept: beside it."""
    return out.with_name(f"{out.name}.parts")


def require_resumable(out: Path, *, resume: bool) -> None:
    """Raise OutputExists where an unfinished run left parts, unless they are to be used."""
    folder = parts_folder(out)
    if folder.exists() and not resume:
        raise OutputExists(
            folder, "an earlier run was not finished; add --resume to go on, or remove it"
        )


def open_parts(out: Path, job: dict[str, Any], *, resume: bool) -> FilmParts:
    """Open the parts of an unfinished run, or begin.

    Args:
        out: the film to make.
        job: everything the packets depend on, JSON values.
        resume: use parts that are there.

    Raises:
        OutputExists: there are some, and `resume` is False.
        InvalidRequest: they were made by another command.
    """
    require_resumable(out, resume=resume)
    folder = parts_folder(out)
    if not folder.exists():
        with new_folder(folder) as made:
            write_json(made / _JOB, job)
        return FilmParts(folder)
    try:
        found = json.loads((folder / _JOB).read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{folder} holds no parts of a film: remove it") from error
    wrong = sorted(name for name in {*job, *found} if job.get(name) != found.get(name))
    if wrong:
        raise InvalidRequest(
            f"{folder} was made with another {', '.join(wrong)}: "
            "repeat the first command with --resume, or remove the folder"
        )
    return FilmParts(folder)
