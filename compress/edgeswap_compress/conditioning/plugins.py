"""Load other people's conditioners, which they install as entry points or name as files."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from edgeswap_compress.conditioning.condition import Conditioner
from edgeswap_compress.conditioning.specs import PluginSpec
from edgeswap_compress.diffusers_folder.building import BUILD_ERRORS, first_line
from edgeswap_compress.errors import InvalidCheckpoint, InvalidSettings

GROUP = "edgeswap.conditioners"
"""Entry points, each a function from a folder to a `Conditioner`."""

FILES = "EDGESWAP_CONDITIONERS"
"""Environment variable with paths of Python files, separated as in PATH. Each has a function
`conditioner` from a folder to a `Conditioner`, which is known by the file's name without .py."""

FUNCTION = "conditioner"

METHODS = ("crops", "graphs", "condition", "null")

Make = Callable[[Path], Any]


def known_plugins() -> dict[str, Callable[[], Make]]:
    """List what this machine's user has installed or named: name -> its loader.

    Raises:
        InvalidSettings: the environment variable names something that is no Python file.
    """
    named = [Path(text) for text in os.environ.get(FILES, "").split(os.pathsep) if text]
    for path in named:
        if path.suffix != ".py" or not path.is_file():
            raise InvalidSettings(f"{FILES}: expected Python files, found {path}, which is none")
    found: dict[str, Callable[[], Make]] = {
        point.name: point.load for point in importlib.metadata.entry_points(group=GROUP)
    }
    return found | {path.stem: _loader(path) for path in named}


def load_plugin(spec: PluginSpec, folder: Path) -> Conditioner:
    """Make a conditioner by the installed entry point, or the named file, that a checkpoint names.

    Only what its user has installed or named is run: a checkpoint holds no code.

    Args:
        spec: names it.
        folder: what it reads.

    Raises:
        InvalidCheckpoint: none is known under that name, or it makes something else.
    """
    known = known_plugins()
    if spec.entry not in known:
        raise InvalidCheckpoint(
            f"swap.json: conditions: entry {spec.entry!r}",
            expected=f"an installed entry point of {GROUP}, or {spec.entry}.py: install the "
            f"package that has it, or set {FILES}=PLACE/{spec.entry}.py",
            found=sorted(known) or "none",
        )
    made: Any = _made(spec.entry, known, folder)
    if missing := [name for name in METHODS if not hasattr(made, name)]:
        raise InvalidCheckpoint(
            f"conditioner {spec.entry!r}", expected=f"an object with {METHODS}",
            found=f"a {type(made).__name__} without {missing[0]}",
        )  # fmt: skip
    return cast(Conditioner, made)


def _made(name: str, known: Mapping[str, Callable[[], Make]], folder: Path) -> Any:
    try:
        return known[name]()(folder)
    except (ImportError, SyntaxError, OSError, *BUILD_ERRORS) as error:
        raise InvalidCheckpoint(
            f"conditioner {name!r}", expected="one that reads its folder",
            found=f"{type(error).__name__}: {first_line(error)}",
        ) from error  # fmt: skip


def _loader(path: Path) -> Callable[[], Make]:
    def load() -> Make:
        spec = importlib.util.spec_from_file_location(f"{FILES.lower()}.{path.stem}", path)
        assert spec is not None  # noqa: S101 known_plugins has seen its suffix
        assert spec.loader is not None  # noqa: S101
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if (make := getattr(module, FUNCTION, None)) is None:
            raise ImportError(f"{path} has no function {FUNCTION}(folder)")
        return cast(Make, make)

    return load
