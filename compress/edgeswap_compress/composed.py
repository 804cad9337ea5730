"""Composed configs and their JSON: parts in Python, settings side by side in a file.

A config of more than six fields is a dataclass of smaller ones. Histories, run folders and recipes
name settings as the command line does, without the parts: a field marked with `beside` gives its
own fields to the level it stands in.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from edgeswap_compress.errors import InvalidSettings

Config = TypeVar("Config")

_PREFIX: Final = "prefix"


def beside(prefix: str = "") -> dict[str, str]:
    """Mark a field that is a config itself, and no level of its own in JSON.

    Args:
        prefix: of its settings' names there.

    Returns:
        metadata of the field.
    """
    return {_PREFIX: prefix}


def settings_in(config: Any) -> dict[str, Any]:
    """Give a config's settings as a JSON object; parts marked with `beside` have no level."""
    found: dict[str, Any] = {}
    for one in fields(config):
        value = getattr(config, one.name)
        if _PREFIX in one.metadata:
            prefix = one.metadata[_PREFIX]
            found |= {prefix + name: inner for name, inner in settings_in(value).items()}
        else:
            found[one.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return settings_in(value)
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value


def from_settings(kind: type[Config], settings: Mapping[str, Any], *, of: str) -> Config:
    """Make a config of what `settings_in` gives; what has a default may be left out.

    Args:
        kind: the config's class.
        settings: JSON object.
        of: whose settings they are, for messages: "prune".

    Raises:
        InvalidSettings: a setting that there is not, one of another type, or one that is missing.
        EdgeswapError: a value out of its range, as the config's own checks say.
    """
    left = dict(settings)
    made = _take(kind, left, "", of)
    if left:
        known = ", ".join(_names(kind))
        raise InvalidSettings(f"{of} has no setting '{min(left)}': expected some of {known}")
    return made


def _take(kind: type[Config], left: dict[str, Any], prefix: str, of: str) -> Config:
    """Make a config of its settings, which are taken out of ``left``."""
    hints, values = get_type_hints(kind), {}
    for one in fields(kind):  # type: ignore[arg-type]
        name = prefix + one.name
        if _PREFIX in one.metadata:
            values[one.name] = _take(hints[one.name], left, prefix + one.metadata[_PREFIX], of)
        elif name in left:
            values[one.name] = _read(hints[one.name], left.pop(name), f"{of}.{name}")
        elif one.default is MISSING and one.default_factory is MISSING:
            raise InvalidSettings(f"{of} lacks the setting '{name}': expected a value")
    return kind(**values)


def _names(kind: type[Any]) -> list[str]:
    """List the settings of a config by their names in JSON."""
    hints, found = get_type_hints(kind), list[str]()
    for one in fields(kind):
        prefix = one.metadata.get(_PREFIX)
        inner = None if prefix is None else [prefix + name for name in _names(hints[one.name])]
        found += [one.name] if inner is None else inner
    return found


def _read(hint: Any, value: Any, name: str) -> Any:
    """Read a value of a field's type.

    Raises:
        InvalidSettings: it is of another.
    """
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        hint = next(one for one in get_args(hint) if one is not type(None))
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            return from_settings(hint, value, of=name)  # type: ignore[arg-type]
        raise _other(name, value, "an object")
    if get_origin(hint) is tuple:
        return _read_tuple(get_args(hint), value, name)
    kind = str if get_origin(hint) is Literal else hint
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise _other(name, value, f"a value of type {kind.__name__}")
    return value


def _read_tuple(kinds: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _other(name, value, "a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise _other(name, value, f"a list of {len(kinds)}")
    return tuple(
        _read(kind, inner, f"{name}[{i}]")
        for i, (kind, inner) in enumerate(zip(kinds, value, strict=True))
    )


def _other(name: str, value: Any, expected: str) -> InvalidSettings:
    return InvalidSettings(f"{name} is {value!r}: expected {expected}")
