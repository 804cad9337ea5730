"""The command table, exit codes, and one line for every mistake."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgeswap_runtime import cli
from edgeswap_runtime.cli import COMMANDS, GROUPS, main
from edgeswap_runtime.errors import EdgeswapFailure, InvalidRequest


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs a command `probe` that runs a function."""

    def install(function: Any, extra: str | None = None) -> None:
        module = ModuleType("probe_module")
        module.command = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "probe_module", module)
        monkeypatch.setitem(COMMANDS, "probe", ("probe_module:command", "a probe", extra))

    return install


def _raise(error: BaseException) -> Any:
    def run(argv: list[str]) -> int:
        raise error

    return run


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, (_, line, _) in COMMANDS.items():
        assert f"  {name} " in shown and line in shown
    starts = {row.index(line) for row in shown.splitlines() for n, (_, line, _) in COMMANDS.items()
              if row.split()[:1] == [n]}  # fmt: skip
    assert len(starts) == 1  # one column, however long the names
    assert main([]) == 2
    assert "usage: edgeswap" in capsys.readouterr().err


def test_help_shows_groups_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-h"]) == 0
    shown = capsys.readouterr().out
    assert [len(line) for line in shown.splitlines() if len(line) > 80] == []
    told = [line for line in shown.splitlines() if line.rstrip(":") in GROUPS]
    assert told == [f"{title}:" for title in GROUPS]
    assert list(COMMANDS) == [name for commands in GROUPS.values() for name in commands]
    places = [shown.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


def test_waiting_threads_sleep_in_every_command(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    command(lambda argv: seen.append(os.environ.get("OMP_WAIT_POLICY")) or 0)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    main(["probe"])
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")  # the user's own choice stays
    main(["probe"])
    assert seen == ["PASSIVE", "ACTIVE"]


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert main([option]) == 0
    assert re.fullmatch(r"edgeswap \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benhc"]) == 2
    assert (
        capsys.readouterr().err == "edgeswap: there is no command 'benhc': did you mean 'bench'?\n"
    )
    assert main(["xyzzy"]) == 2
    assert "edgeswap --help lists them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InvalidRequest("two\nlines"), 2, "two lines"),
        (InvalidRequest("a\x00b \x1b[31m"), 2, r"a\x00b \x1b[31m"),
        (InvalidRequest("a" * 2000 + "b" * 2000), 2, "a" * 750 + " ... " + "b" * 750),
        (EdgeswapFailure("parity failed"), 1, "parity failed"),
        (OSError(errno.ENOSPC, "No space left", "out"), 2,
         "out: No space left; nothing was kept, free some space and try again"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "x: Permission denied"),
        (OSError("odd"), 2, "odd"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)  # fmt: skip
def test_exit_codes(
    command: Any, capsys: pytest.CaptureFixture[str], error: Any, code: int, message: str
) -> None:
    command(_raise(error))
    assert main(["probe"]) == code
    shown = capsys.readouterr()
    assert shown.err == f"edgeswap: {message}\n"
    assert shown.out == ""


def test_our_own_faults_keep_their_traceback(command: Any) -> None:
    command(_raise(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["probe"])


@pytest.mark.parametrize(("stop", "code"), [(0, 0), (2, 2), (None, 0), ("words", 2)])
def test_argparse_stops_become_codes(command: Any, stop: Any, code: int) -> None:
    command(_raise(SystemExit(stop)))
    assert main(["probe"]) == code


def test_a_missing_extra_is_named(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command(_raise(ModuleNotFoundError("no", name="torch.nn")), extra="compress")
    assert main(["probe"]) == 2
    expected = (
        "edgeswap: edgeswap probe needs the 'compress' extra (torch is not installed): "
        "python -m pip install 'edgeswap[compress]'\n"
    )
    assert capsys.readouterr().err == expected
    command(_raise(ModuleNotFoundError("no", name="cv2")))
    assert main(["probe"]) == 2
    assert "edgeswap probe needs cv2: python -m pip install cv2" in capsys.readouterr().err


def test_a_missing_module_of_ours_is_a_fault(command: Any) -> None:
    command(_raise(ModuleNotFoundError("no", name="edgeswap_compress.nowhere")), extra="compress")
    with pytest.raises(ModuleNotFoundError):
        main(["probe"])


def test_a_closed_pipe_is_silent(
    command: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(_raise(BrokenPipeError()))
    monkeypatch.setattr(cli.os, "dup2", lambda *_: None)
    assert main(["probe"]) == 1
    assert capsys.readouterr().err == ""


def test_the_table_points_at_modules_of_ours() -> None:
    for target, line, extra in COMMANDS.values():
        module, _, function = target.partition(":")
        assert module.split(".")[0] in ("edgeswap_runtime", "edgeswap_compress", "edgeswap_export",
                                        "edgeswap_bench")  # fmt: skip
        assert function and line
        if module.startswith("edgeswap_runtime"):
            assert extra in (None, "video", "live", "ray"), module
            assert callable(cli.load(target))


def test_python_m_is_the_same_command() -> None:
    spec = importlib.util.find_spec("edgeswap_runtime.__main__")
    assert spec is not None and spec.origin is not None
    assert "sys.exit(main())" in Path(spec.origin).read_text()
