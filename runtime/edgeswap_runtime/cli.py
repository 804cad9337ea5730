"""The `edgeswap` command: a table of sub-commands, each imported only when it runs.

Exit codes: 0 fine; 2 the caller's mistake or bad input, told in one line; 1 our own failure.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from typing import TYPE_CHECKING, cast

from edgeswap_runtime.errors import EdgeswapError, EdgeswapFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS: dict[str, tuple[str, str, str | None]] = {
    "demo": ("edgeswap_export.demo.cli:command", "the whole way in one go, with a report", "all"),
    "swap": ("edgeswap_runtime.commands.swap:command", "swap the faces of a picture", None),
    "bench": ("edgeswap_bench.cli:command", "time a bundle, stage by stage", None),
    "inspect": ("edgeswap_runtime.commands.inspect:inspect", "show what a folder holds", None),
    "verify": ("edgeswap_runtime.commands.inspect:verify", "check every hash of a folder", None),
    "doctor": ("edgeswap_runtime.commands.doctor:command", "what this machine can run", None),
    "data": ("edgeswap_compress.data.cli:command", "render synthetic training data", "data"),
    "train": ("edgeswap_compress.train.cli:command", "train a teacher", "compress"),
    "prune": ("edgeswap_compress.prune.cli:command", "cut a checkpoint's U-Net", "compress"),
    "distill": ("edgeswap_compress.distill.cli:command", "teach it fewer steps", "compress"),
    "personalize": ("edgeswap_compress.personalize.cli:command", "teach it a person", "compress"),
    "evaluate": ("edgeswap_compress.evaluate.cli:command", "measure a checkpoint", "compress"),
    "export": ("edgeswap_export.cli:command", "turn a checkpoint into a bundle", "export"),
    "triton": ("edgeswap_export.triton.cli:command", "serve a bundle with Triton", "export"),
    "build": ("edgeswap_export.recipe.cli:command", "the whole way by a recipe, resumable", "all"),
    "engine": ("edgeswap_export.engine.cli:command", "build TensorRT engines of a bundle", "rtx"),
}
"""Name -> ("module:function", one line of help, the extra that brings its packages, if any)."""

_LONGEST_LINE = 1500
"""Characters of an error's line; names in a bad file may be of any length."""

_ROOMS = ("edgeswap_runtime", "edgeswap_compress", "edgeswap_export", "edgeswap_bench")


def load(target: str) -> Callable[[list[str]], int]:
    """Import what "module:function" names."""
    module, _, function = target.partition(":")
    return cast("Callable[[list[str]], int]", getattr(importlib.import_module(module), function))


def run(target: str, argv: list[str], *, name: str, extra: str | None) -> int:
    """Import and run a command; a package it lacks becomes one line and exit code 2.

    Args:
        target: "module:function".
        argv: its arguments.
        name: how to call the command in the message.
        extra: the extra that brings its packages, if any.
    """
    try:
        return load(target)(argv)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if isinstance(error, EdgeswapError) or not missing or missing in _ROOMS:
            raise
        if extra is None:
            return _tell(f"edgeswap {name} needs {missing}: python -m pip install {missing}", 2)
        return _tell(
            f"edgeswap {name} needs the '{extra}' extra ({missing} is not installed): "
            f"python -m pip install 'edgeswap[{extra}]'",
            2,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; nothing is raised but real faults.

    Args:
        argv: the arguments after `edgeswap`; those of the process when None.

    Returns:
        0 fine, 2 bad input, 1 a failure of edgeswap's own, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) has gone; keep the interpreter from flushing into it again.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except EdgeswapError as error:
        return _tell(str(error), 2)
    except EdgeswapFailure as error:
        return _tell(str(error), 1)
    except OSError as error:
        return _tell(_system_message(error), 2)
    except KeyboardInterrupt:
        return _tell("interrupted", 130)
    except SystemExit as stop:  # argparse: --help is 0, a usage error is 2
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 2
    return code


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage(), file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    if name == "--version":
        import importlib.metadata  # a third of the start-up time, for this alone

        print(f"edgeswap {importlib.metadata.version('edgeswap')}")
        return 0
    if name not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "edgeswap --help lists them"
        return _tell(f"there is no command '{name}': {hint}", 2)
    target, _, extra = COMMANDS[name]
    return run(target, rest, name=name, extra=extra)


def _usage() -> str:
    lines = ["usage: edgeswap COMMAND [options]; edgeswap COMMAND --help tells more", ""]
    width = max(map(len, COMMANDS)) + 2
    lines += [f"  {name:{width}}{line}" for name, (_, line, _) in COMMANDS.items()]
    return "\n".join([*lines, "", "  --version"])


def _tell(message: str, code: int) -> int:
    """Print a message as one line of visible characters."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(message.split()))
    if len(line) > _LONGEST_LINE:
        line = f"{line[: _LONGEST_LINE // 2]} ... {line[-_LONGEST_LINE // 2 :]}"
    print("edgeswap:", line, file=sys.stderr)
    return code


def _system_message(error: OSError) -> str:
    message = error.strerror or str(error)
    if error.filename is not None:
        message = f"{error.filename}: {message}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        message += "; nothing was kept, free some space and try again"
    return message
