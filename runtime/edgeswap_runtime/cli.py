"""Command line `edgeswap`: find the command in one table, run it, turn errors into exit codes.

Each command is a module with `build_parser() -> argparse.ArgumentParser` and
`command(argv) -> int`; it is imported only when it runs. Exit codes: 0 fine; 2 the caller's mistake
or bad input, told in one line; 1 a failure of edgeswap's own.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from typing import TYPE_CHECKING, cast

from edgeswap_runtime.backends.threads import let_waiting_threads_sleep
from edgeswap_runtime.errors import EdgeswapError, EdgeswapFailure

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    Entry = tuple[str, str, str | None]

GROUPS: dict[str, dict[str, Entry]] = {
    "Start here": {
        "doctor": (
            "edgeswap_runtime.commands.doctor:command",
            "show what this machine can run and what to install",
            None,
        ),
        "swap": (
            "edgeswap_runtime.commands.swap:command",
            "put the face of one photo into another photo",
            None,
        ),
        "identity": (
            "edgeswap_runtime.commands.identity:command",
            "read a person's face from photos into one small file",
            None,
        ),
        "batch": (
            "edgeswap_runtime.commands.batch:command",
            "put a face into many pictures, by several processes or a cluster",
            "ray",
        ),
        "video": (
            "edgeswap_runtime.commands.video:command",
            "put the face of a photo into a film, sound and timing kept",
            "video",
        ),
        "live": (
            "edgeswap_runtime.commands.live:command",
            "put faces into what a camera sees, on a page or into a pipe",
            "live",
        ),
        "web": (
            "edgeswap_export.web.cli:command",
            "write a page that swaps faces in the browser itself",
            "export",
        ),
        "demo": (
            "edgeswap_export.demo.cli:command",
            "run the whole pipeline on packaged models and report it",
            "all",
        ),
    },
    "Make a model": {
        "data": (
            "edgeswap_compress.data.cli:command",
            "make a training dataset: fetch files, render, align photos",
            "data",
        ),
        "import": (
            "edgeswap_compress.importers.cli:command",
            "make a checkpoint of a model you have: IP-Adapter, InstantID, ...",
            "import",
        ),
        "train": (
            "edgeswap_compress.train.cli:command",
            "train a teacher: the large model to compress",
            "compress",
        ),
        "prune": (
            "edgeswap_compress.prune.cli:command",
            "remove channels and blocks from a checkpoint's U-Net",
            "compress",
        ),
        "distill": (
            "edgeswap_compress.distill.cli:command",
            "train a checkpoint to swap in fewer steps",
            "compress",
        ),
        "personalize": (
            "edgeswap_compress.personalize.cli:command",
            "adapt a checkpoint to one person's photos",
            "compress",
        ),
        "evaluate": (
            "edgeswap_compress.evaluate.cli:command",
            "measure how well a checkpoint or bundle swaps",
            "compress",
        ),
    },
    "Run it fast": {
        "export": (
            "edgeswap_export.cli:command",
            "convert a checkpoint to a bundle: ONNX graphs, no torch needed",
            "export",
        ),
        "engine": (
            "edgeswap_export.engine.cli:command",
            "build TensorRT engines for a bundle",
            "rtx",
        ),
        "bench": (
            "edgeswap_bench.cli:command",
            "measure how long a bundle takes, stage by stage",
            None,
        ),
        "triton": (
            "edgeswap_export.triton.cli:command",
            "write a bundle as a model repository for Triton",
            "export",
        ),
    },
    "Several steps at once": {
        "build": (
            "edgeswap_export.recipe.cli:command",
            "run the steps that a recipe file lists; go on where it stopped",
            "all",
        ),
    },
    "Look into files": {
        "inspect": (
            "edgeswap_runtime.commands.inspect:command",
            "show what a bundle, checkpoint or pruning plan holds",
            None,
        ),
        "verify": (
            "edgeswap_runtime.commands.verify:command",
            "check a bundle's or checkpoint's files, or a picture's mark",
            None,
        ),
    },
}
"""Group -> command -> ("module:function", one line of help, the extra it needs or None).

Groups and commands stand in the order in which one uses them.
"""

COMMANDS: dict[str, Entry] = {
    name: entry for commands in GROUPS.values() for name, entry in commands.items()
}
"""Every command of `GROUPS`, by name."""

SUBCOMMANDS: dict[str, str] = {
    "distill autoencoder": "edgeswap_compress.distill.autoencoder.cli:command",
    "distill decoder": "edgeswap_compress.distill.decoder.cli:command",
    "evaluate photos": "edgeswap_compress.evaluate.photos.cli:command",
    "bench compare": "edgeswap_bench.commands.compare:command",
}
"""Two words that name a command of its own -> "module:function"; the extra is the first word's."""

_LONGEST_LINE = 1500
"""Characters of an error's line; names in a bad file may be of any length."""

_ROOMS = ("edgeswap_runtime", "edgeswap_compress", "edgeswap_export", "edgeswap_bench")


def load(target: str) -> Callable[[list[str]], int]:
    """Import the function that "module:function" names."""
    module, _, function = target.partition(":")
    return cast("Callable[[list[str]], int]", getattr(importlib.import_module(module), function))


def parser_of(name: str) -> argparse.ArgumentParser:
    """Build the parser of a command of `COMMANDS` or `SUBCOMMANDS`."""
    target = SUBCOMMANDS.get(name) or COMMANDS[name][0]
    module = importlib.import_module(target.partition(":")[0])
    return cast("argparse.ArgumentParser", module.build_parser())


def run(target: str, argv: list[str], *, name: str, extra: str | None) -> int:
    """Import and run a command; a missing package becomes one line and exit code 2.

    Args:
        target: "module:function".
        argv: the arguments after the command's name.
        name: how to call the command in the message.
        extra: the extra that installs its packages, or None.

    Returns:
        the exit code.
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
    let_waiting_threads_sleep()
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
    if name in ("-V", "--version"):
        import importlib.metadata  # a third of the start-up time, for this alone

        print(f"edgeswap {importlib.metadata.version('edgeswap')}")
        return 0
    if name not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "edgeswap --help lists them"
        return _tell(f"there is no command '{name}': {hint}", 2)
    target, _, extra = COMMANDS[name]
    longer = " ".join(arguments[:2])
    if longer in SUBCOMMANDS:
        target, name, rest = SUBCOMMANDS[longer], longer, rest[1:]
    return run(target, rest, name=name, extra=extra)


def _usage() -> str:
    lines = ["usage: edgeswap COMMAND [options]", ""]
    lines += ["Shrink a face-swapping diffusion model and run it without torch."]
    width = max(map(len, COMMANDS)) + 2
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:{width}}{line}" for name, (_, line, _) in commands.items()]
    lines += ["", "edgeswap COMMAND --help describes a command.", "", "options:"]
    options = {"-h, --help": "show this text", "-V, --version": "show the version"}
    lines += [f"  {names:{width + 2}}{line}" for names, line in options.items()]
    return "\n".join(lines)


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
