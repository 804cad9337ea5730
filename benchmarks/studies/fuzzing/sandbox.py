"""Run one `edgeswap` command line in a forked process and watch its time and memory.

The parent has imported the slow packages once, so a case costs a fork and its own work. It must not
have computed anything with them: threads do not survive a fork.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

_POLL_S = (0.002, 0.03)
_PAGE = resource.getpagesize()
TRACEBACK = 70
"""Exit code of a child whose command line raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a command line may use before it is stopped.

    Attributes:
        cpu_s: processor time of the process and its children, in seconds.
        wall_s: seconds by the clock; larger, since other work may keep the processors busy.
        rss_bytes: resident memory of the process.
    """

    cpu_s: float = 10.0
    wall_s: float = 60.0
    rss_bytes: int = 4_000_000_000


USUAL = Limits()
LONG = Limits(cpu_s=40, wall_s=200)
"""For commands that work for some seconds where the change is harmless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a command line.

    Attributes:
        code: its exit code; minus the signal's number where a signal ended it.
        stopped: which limit it ran into, or None.
        stdout, stderr: what it wrote.
        cpu_s, wall_s: what it took.
        peak_rss_bytes: its largest resident memory, the parent's share included.
    """

    code: int
    stopped: str | None
    stdout: str
    stderr: str
    cpu_s: float
    wall_s: float
    peak_rss_bytes: int


def warm_up() -> None:
    """Import what the commands import, so that a forked process need not.

    ONNX Runtime and what needs it at once are left out: it starts a thread when it is imported.
    """
    with mock.patch.dict(sys.modules, {"onnxruntime": None}):
        for room in ("edgeswap_bench", "edgeswap_compress", "edgeswap_export"):
            package = importlib.import_module(room)
            for module in pkgutil.walk_packages(package.__path__, f"{room}."):
                if module.name.rpartition(".")[2] not in ("__main__", "_child"):
                    with contextlib.suppress(ModuleNotFoundError):
                        importlib.import_module(module.name)
        warm = dict(sys.modules)
    sys.modules.update({name: module for name, module in warm.items() if module is not None})


def call(argv: list[str], folder: Path, limits: Limits = USUAL) -> Outcome:
    """Run ``edgeswap ARGV`` in a forked process.

    Args:
        argv: the arguments after `edgeswap`.
        folder: the working directory; what is printed is kept in it while the command runs.
        limits: when to stop it.
    """
    out, err = folder / ".stdout", folder / ".stderr"
    sys.stdout.flush()
    sys.stderr.flush()
    begun = time.monotonic()
    process = os.fork()
    if process == 0:
        _become(argv, folder, out, err, limits)
    status, usage, stopped = _watch(process, begun, limits)
    outcome = Outcome(
        code=os.waitstatus_to_exitcode(status),
        stopped=stopped,
        stdout=_text(out),
        stderr=_text(err),
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=time.monotonic() - begun,
        peak_rss_bytes=usage.ru_maxrss * 1024,
    )
    out.unlink(missing_ok=True)
    err.unlink(missing_ok=True)
    return outcome


def _become(argv: list[str], folder: Path, out: Path, err: Path, limits: Limits) -> None:
    """The child: turn into the command line; never returns."""
    code = TRACEBACK
    try:
        os.setsid()
        os.chdir(folder)
        for descriptor, path, flags in (
            (0, Path(os.devnull), os.O_RDONLY),
            (1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            (2, err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        ):
            os.dup2(os.open(path, flags, 0o600), descriptor)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(  # noqa: SIM115
            2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1
        )
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
        from edgeswap_runtime.cli import main

        code = main(argv)
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001  (it is told, and judged)
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _watch(
    process: int, begun: float, limits: Limits
) -> tuple[int, resource.struct_rusage, str | None]:
    """Wait for the child; stop it, with all it started, at a limit."""
    stopped, pause = None, _POLL_S[0]
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)  # what it left running
            return status, usage, stopped
        time.sleep(pause)
        pause = min(pause * 1.5, _POLL_S[1])
        stopped = stopped or _over(process, time.monotonic() - begun, limits)
        if stopped:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)


def _over(process: int, wall_s: float, limits: Limits) -> str | None:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError):
        return None
    cpu_s = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    if pages * _PAGE > limits.rss_bytes:
        return f"more than {limits.rss_bytes / 1e9:g} GB"
    if cpu_s > limits.cpu_s:
        return f"more than {limits.cpu_s:g} s of processor time"
    return f"more than {limits.wall_s:g} s" if wall_s > limits.wall_s else None


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
