"""Time something in a process of its own, in turns with the rest: checkpoints and peers.

The process is a script of `benchmarks/peers/`. It says on its standard output, line by line as
JSON, first {"ready": {...}} or {"failed": "why"}, and then, each time it reads the name of a task
on its standard input, {"total_ns": N}. Between tasks it waits, and uses no processor.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_bench.measure.subject import Lap
from edgeswap_runtime.errors import EdgeswapFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeswap_bench.measure.subject import Task

PEERS = Path(__file__).parents[2] / "peers"
"""Where the scripts are, in a source checkout."""

_READY_S, _LAP_S = 900.0, 600.0


class WorkerSubject:
    """A worker process that does one task at a time.

    Args:
        script: in `PEERS`, without ".py".
        arguments: of the script.
        label: what to call it.
        kind: "checkpoint" or "peer".
        folder: where the scripts are.

    Attributes:
        tasks: the tasks that it can do.
        pid: of the process.

    Raises:
        EdgeswapFailure: it did not start; the message has its last words.
    """

    def __init__(
        self,
        script: str,
        arguments: Sequence[str],
        *,
        label: str,
        kind: str,
        folder: Path = PEERS,
    ) -> None:
        self.label, self.kind = label, kind
        path = folder / f"{script}.py"
        if not path.is_file():
            raise EdgeswapFailure(
                f"{label} needs {path}, which only a source checkout of edgeswap has"
            )
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [_interpreter(script, folder), str(path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.pid: int | None = self._process.pid
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._facts: dict[str, Any] = self._answer(_READY_S)["ready"]
        except BaseException:
            self.close()
            raise
        self.tasks: tuple[str, ...] = tuple(self._facts.get("tasks", ("unet",)))

    def run(self, task: Task) -> Lap:
        """Have it do a task once; it holds the clock.

        Raises:
            EdgeswapFailure: it failed or ended; the message has its last words.
        """
        try:
            self._input.write(f"{task.name}\n")
            self._input.flush()
        except OSError as error:
            raise EdgeswapFailure(f"{self.label} ended: {self._last_words()}") from error
        return Lap(total_ns=int(self._answer(_LAP_S)["total_ns"]))

    def describe(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "artifact": self._facts.get("artifact", {}),
            "settings": self._facts.get("settings", {}),
            "quality": self._facts.get("quality", {}),
        }

    def close(self) -> None:
        """End the process; calling it again does nothing."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(OSError):  # it has ended already
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=5)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    @property
    def _input(self) -> Any:
        return self._process.stdin

    def _read(self) -> None:
        """Pass the lines on; an empty one says that there are no more."""
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put("")

    def _answer(self, seconds: float) -> dict[str, Any]:
        while True:
            try:
                line = self._lines.get(timeout=seconds)
            except queue.Empty:
                self._process.kill()
                raise EdgeswapFailure(f"{self.label} gave no answer in {seconds:.0f} s") from None
            if not line:
                raise EdgeswapFailure(f"{self.label} ended: {self._last_words()}")
            if not line.startswith("{"):
                continue  # a library printed something
            answer: dict[str, Any] = json.loads(line)
            if "failed" in answer:
                raise EdgeswapFailure(f"{self.label} failed: {answer['failed']}")
            return answer

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"


def _interpreter(script: str, folder: Path) -> str:
    """The Python of the script's own environment where there is one, else ours."""
    name = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    own = folder / "environments" / script / name
    return str(own) if own.is_file() else sys.executable
