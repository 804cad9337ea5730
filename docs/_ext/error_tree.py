"""Sphinx extension: `{error-tree}` becomes the tree of all errors, read from the packages."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from edgeswap_runtime.errors import EdgeswapError, EdgeswapFailure

PACKAGES = ("edgeswap_runtime", "edgeswap_compress", "edgeswap_export", "edgeswap_bench")


def import_errors() -> None:
    """Import every module called `errors` or `_errors`, so that all classes are known."""
    for package in PACKAGES:
        home = importlib.import_module(package)
        for module in pkgutil.walk_packages(home.__path__, f"{package}."):
            if module.name.rpartition(".")[2] in ("errors", "_errors"):
                importlib.import_module(module.name)


def tree_of(kind: type[BaseException], indent: str = "") -> Iterator[str]:
    """One line a class: its name, and the first line of its docstring."""
    said = (inspect.getdoc(kind) or "").partition("\n")[0]
    yield f"{indent}{kind.__name__:<{max(1, 34 - len(indent))}} {said}"
    children = [c for c in kind.__subclasses__() if c.__module__.startswith("edgeswap")]
    for child in sorted(children, key=lambda c: c.__name__):
        yield from tree_of(child, indent + "  ")


class ErrorTree(SphinxDirective):
    """`{error-tree}`: the two trees as text."""

    def run(self) -> list[nodes.Node]:
        """Draw the trees."""
        import_errors()
        lines = [*tree_of(EdgeswapError), "", *tree_of(EdgeswapFailure)]
        block = nodes.literal_block(text="\n".join(lines))
        block["language"] = "text"
        return [block]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("error-tree", ErrorTree)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
