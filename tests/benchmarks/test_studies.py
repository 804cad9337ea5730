"""Studies are run seldom, so what a renaming broke in one is found here, without running it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

STUDIES = sorted((Path(__file__).parents[2] / "benchmarks" / "studies").rglob("*.py"))
OPTIONS = ("args", "arguments", "options")
"""What studies call the parsed command line."""


def declared(tree: ast.AST) -> set[str]:
    """Names that the parsed command line has; "*" where one is not written out."""
    names: set[str] = set()
    short = {
        node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "add_argument"
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called == "add_argument" or called in short:
            words = [word.value for word in node.keywords if word.arg == "dest"] or node.args[:1]
            text = words[0].value if isinstance(words[0], ast.Constant) else "*"
            names.add(str(text).lstrip("-").replace("-", "_"))
    return names


def read(tree: ast.AST, context: type[ast.expr_context]) -> set[str]:
    """Attributes of the parsed command line that are read, or set."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, context)
        and isinstance(node.value, ast.Name)
        and node.value.id in OPTIONS
    }


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_option_that_is_read_is_declared(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known = declared(tree)
    if known and "*" not in known:
        assert sorted(read(tree, ast.Load) - known - read(tree, ast.Store)) == []


def test_an_option_that_was_renamed_is_found() -> None:
    tree = ast.parse("p.add_argument('--gpu', help='x')\nprint(args.target)")
    assert read(tree, ast.Load) - declared(tree) == {"target"}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_name_that_is_imported_exists(path: Path) -> None:
    missing = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("edgeswap"):
            continue
        module = importlib.import_module(node.module or "")
        for name in (alias.name for alias in node.names):
            if not hasattr(module, name):
                try:
                    importlib.import_module(f"{node.module}.{name}")
                except ModuleNotFoundError:
                    missing.append(f"{node.module}.{name}")
    assert missing == []
