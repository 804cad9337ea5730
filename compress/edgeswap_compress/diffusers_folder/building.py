"""Help to build diffusers' modules from configs, and to tell what they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BUILD_ERRORS = (
    TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError,
    AssertionError,
)  # fmt: skip
"""What diffusers raises for values that do not go together (NotImplementedError is among them)."""


def public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the entries that diffusers keeps for itself, which change between load and save."""
    return {name: value for name, value in config.items() if not name.startswith("_")}


def first_line(error: Exception) -> str:
    """Take the first line of an error's message, or its name."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
