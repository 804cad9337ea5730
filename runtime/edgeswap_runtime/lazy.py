"""Load a package's public names when they are first used."""

from __future__ import annotations

import importlib
import operator
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OURS = ("edgeswap", "edgeswap_runtime", "edgeswap_compress", "edgeswap_export", "edgeswap_bench")
"""Packages of this project: one of them missing is no missing extra."""


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]], *, extras: Mapping[str, str] | None = None
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the `__getattr__` and `__dir__` of a package whose names load on first use (PEP 562).

    Args:
        package: the package's `__name__`.
        homes: module, as a full dotted name -> the names that the package takes from it;
            "public=Inner.part" gives a part of a name one of its own.
        extras: top-level package of a home -> the extra that brings what it needs.

    Returns:
        `__getattr__` and `__dir__`, to be assigned in the package's `__init__`. Where a package
        that an extra brings is not installed, a name raises `ModuleNotFoundError` and says which
        extra to install.
    """
    home_of = {}
    for module, taken in homes.items():
        for name in taken:
            public, _, inner = name.partition("=")
            home_of[public] = (module, inner or public)

    def get(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, inner = home_of[name]
        try:
            value: object = operator.attrgetter(inner)(importlib.import_module(module))
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            extra = (extras or {}).get(module.partition(".")[0])
            if extra is None or missing in OURS:
                raise
            raise ModuleNotFoundError(
                f"{package}.{name} needs the '{extra}' extra ({missing} is not installed): "
                f"python -m pip install 'edgeswap[{extra}]'",
                name=error.name,
            ) from error
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of})

    return get, names
