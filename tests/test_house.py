"""The house: every module where it is looked for, every word with one meaning."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tree() -> Any:
    spec = importlib.util.spec_from_file_location("house", ROOT / "scripts" / "house.py")
    assert spec is not None and spec.loader is not None
    house = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(house)
    return house.Tree(ROOT)


def test_nobody_imports_another_package_s_private_modules(tree: Any) -> None:
    assert tree.private_imports() == []


def test_no_package_has_a_circle(tree: Any) -> None:
    assert tree.circles() == []


def test_folders_stay_small(tree: Any) -> None:
    assert {folder: n for folder, n in tree.folder_sizes().items() if n > 15} == {}


def test_no_class_name_is_defined_twice(tree: Any) -> None:
    assert tree.doubled_classes() == []


def test_every_argument_has_help(tree: Any) -> None:
    assert tree.arguments_without_help() == []
