#!/usr/bin/env python
"""Measure how easy the source tree is to find one's way in; print one line per measure.

python scripts/house.py                    # this tree
python scripts/house.py --tree ELSEWHERE   # another checkout, to compare before and after
python scripts/house.py --help-times       # also time `edgeswap COMMAND --help`
"""

from __future__ import annotations

import argparse
import ast
import graphlib
import importlib
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOMS = {
    "edgeswap_runtime": "runtime",
    "edgeswap_compress": "compress",
    "edgeswap_export": "export",
    "edgeswap_bench": "benchmarks",
}
PROGRAMS = ("benchmarks/studies", "benchmarks/peers", "docs/_ext", "scripts")
"""Folders of scripts: they import the rooms, and nothing imports them."""


class Tree:
    """The modules of a checkout and what they import of each other, read as text."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: dict[str, Path] = {}
        for package, room in ROOMS.items():
            for path in sorted((root / room / package).rglob("*.py")):
                parts = path.relative_to(root / room).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                self.modules[name] = path
        self.syntax = {name: ast.parse(path.read_text()) for name, path in self.modules.items()}
        self.programs = {
            str(path.relative_to(root)): ast.parse(path.read_text())
            for folder in PROGRAMS
            for path in sorted((root / folder).rglob("*.py"))
            if "environments" not in path.parts
        }

    def package_of(self, module: str) -> str:
        """The module itself where it is a package, else the package it lies in."""
        is_package = self.modules[module].name == "__init__.py"
        return module if is_package else module.rpartition(".")[0]

    def imports(self) -> Iterator[tuple[str, str]]:
        """(importing module, imported module) of every import statement, wherever it stands."""
        for module, syntax in self.syntax.items():
            yield from ((module, name) for name in self._imported(syntax))

    def _imported(self, syntax: ast.Module) -> Iterator[str]:
        for node in ast.walk(syntax):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found = {name if name in self.modules else node.module for name in names}
            elif isinstance(node, ast.Import):
                found = {alias.name for alias in node.names}
            else:
                continue
            yield from (name for name in found if name in self.modules)

    def private_imports(self, *, between_rooms: bool = False) -> list[str]:
        """Imports of a module with an underscore by a module or script outside its package.

        Args:
            between_rooms: only those that cross from one room to another, or come from a script.
        """
        found = [
            f"{script} -> {used}"
            for script, syntax in self.programs.items()
            for used in self._imported(syntax)
            if "._" in used
        ]
        for user, used in self.imports():
            parts = used.split(".")
            for place, part in enumerate(parts):
                home = ".".join(parts[:place])
                inside = f"{self.package_of(user)}.".startswith(f"{home}.")
                crosses = user.split(".")[0] != parts[0]
                if part.startswith("_") and not inside and (crosses or not between_rooms):
                    found.append(f"{user} -> {used}")
        return found

    def circles(self) -> list[str]:
        """Packages whose direct members import each other in a circle."""
        members: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for user, used in self.imports():
            shared = 0
            one, two = user.split("."), used.split(".")
            while shared < min(len(one), len(two)) and one[shared] == two[shared]:
                shared += 1
            if 0 < shared < min(len(one), len(two)):
                members[".".join(one[:shared])][one[shared]].add(two[shared])
        circles = {package: _circle(graph) for package, graph in sorted(members.items())}
        return [f"{package}: {' -> '.join(way)}" for package, way in circles.items() if way]

    def folder_sizes(self) -> Counter[str]:
        """Folder -> how many modules lie directly in it."""
        paths = (p for p in self.modules.values() if p.name != "__init__.py")
        return Counter(str(path.parent.relative_to(self.root)) for path in paths)

    def doubled_classes(self) -> list[str]:
        """Public class names that are defined in more than one module."""
        homes: dict[str, set[str]] = defaultdict(set)
        for module, syntax in self.syntax.items():
            for node in ast.walk(syntax):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes[node.name].add(module)
        return sorted(name for name, modules in homes.items() if len(modules) > 1)

    def arguments_without_help(self) -> list[str]:
        """`add_argument` calls without a help text, in the four rooms."""
        found = []
        for module, syntax in self.syntax.items():
            for node in ast.walk(syntax):
                is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                if not is_call or node.func.attr != "add_argument" or not node.args:
                    continue
                if not any(keyword.arg in ("help", None) for keyword in node.keywords):
                    name = node.args[0]
                    label = name.value if isinstance(name, ast.Constant) else "?"
                    found.append(f"{module}: {label}")
        return found


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of a circle in a graph, or nothing."""
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def help_times(runs: int = 3) -> dict[str, float]:
    """Command -> the least processor time of `edgeswap COMMAND --help` in seconds."""
    table = importlib.import_module("edgeswap_runtime.cli").COMMANDS
    found = {}
    for name in table:
        line = [sys.executable, "-m", "edgeswap_runtime", name, "--help"]
        found[name] = min(_processor_seconds(line) for _ in range(runs))
    return found


def _processor_seconds(line: list[str]) -> float:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(line, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Print the measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--help-times", action="store_true", help="time every command's --help")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    tree = Tree(arguments.tree)
    largest, count = tree.folder_sizes().most_common(1)[0]
    lines = len((arguments.tree / "README.md").read_text().splitlines())
    rows = {
        "imports of another room's private modules": len(tree.private_imports(between_rooms=True)),
        "imports of any other package's private modules": len(tree.private_imports()),
        "packages with an import circle": len(tree.circles()),
        f"modules in the largest flat folder ({largest})": count,
        "public class names defined twice": len(tree.doubled_classes()),
        "arguments without help": len(tree.arguments_without_help()),
        "README lines": lines,
    }
    for what, number in rows.items():
        print(f"{number:>6}  {what}")
    if arguments.help_times:
        for name, seconds in sorted(help_times().items(), key=lambda entry: -entry[1]):
            print(f"{seconds:>6.2f}  CPU seconds of edgeswap {name} --help")
    print(f"{len(tree.modules)} modules read in {time.perf_counter() - begun:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
