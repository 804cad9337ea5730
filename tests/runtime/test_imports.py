"""The runtime's modules import one another without circles, also for types alone."""

from __future__ import annotations

import ast
from pathlib import Path

import edgeswap_runtime

PACKAGE = Path(edgeswap_runtime.__file__).parent
NAME = PACKAGE.name
DOORS = {NAME}
"""The package's `__init__`, which names its modules for type checkers and loads them lazily."""


def _modules() -> dict[str, Path]:
    found = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def _imports(file: Path, modules: dict[str, Path]) -> set[str]:
    """Modules of ours that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(NAME):
            inner = {f"{node.module}.{name.name}" for name in node.names} & set(modules)
            found |= inner or {node.module}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names} & set(modules)
    return found - DOORS


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """Some circle, or nothing."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if found := visit(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def test_no_circles() -> None:
    modules = _modules()
    graph = {name: _imports(file, modules) for name, file in modules.items() if name not in DOORS}
    assert len(graph) > 30
    assert _circle(graph) == []


def test_circles_are_found() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "a"]
    assert _circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
