"""Workers as processes of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.batch.pool import WorkerDied
from edgeswap_runtime.errors import BatchRefused

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

    from edgeswap_runtime.batch.pool import OpenWorker
    from edgeswap_runtime.batch.settings import BatchSettings
    from edgeswap_runtime.batch.targets import BatchPicture


class ProcessWorker:
    """A worker in a process of its own; killing it loses only the picture in its hands.

    Args:
        settings: how pictures are swapped.

    Raises:
        BatchRefused: the bundle, the backend or a source cannot be used.
        WorkerDied: the process ended before it was ready.
    """

    def __init__(self, settings: BatchSettings) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgeswap_runtime.batch.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        try:
            answer = self._ask(settings.to_json())
        except BaseException:
            self.close()
            raise
        if "refused" in answer:
            self.close()
            raise BatchRefused(answer["refused"])

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def swap(self, picture: BatchPicture, out: Path) -> dict[str, Any]:
        """Swap a picture; see `PictureSwapper.swap`.

        Raises:
            WorkerDied: the process ended.
        """
        source = None if picture.source is None else str(picture.source)
        return self._ask({"target": str(picture.target), "out": str(out), "source": source})

    def close(self) -> None:
        """End the process: it finishes the picture in its hands, or is killed after ten seconds."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # what was to be flushed has no reader any more
                    continue
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()

    def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # noqa: S101 both were asked for
        try:
            stdin.write(json.dumps(body) + "\n")
            stdin.flush()
            line = stdout.readline()
        except (BrokenPipeError, ValueError):  # closed from another thread
            line = ""
        if not line.endswith("\n"):
            raise WorkerDied(f"the process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def open_process(settings: BatchSettings) -> OpenWorker:
    """Return what opens one process after another, for `run_batch`."""

    def open_one(_: Event) -> ProcessWorker:
        return ProcessWorker(settings)

    return open_one
