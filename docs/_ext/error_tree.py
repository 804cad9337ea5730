"""Sphinx extension: `{error-tree}` becomes a nested list of all errors, read from the packages."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
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
    """A nested list in MyST: the name of each class, and the first line of its docstring."""
    said = (inspect.getdoc(kind) or "").partition("\n")[0]
    yield f"{indent}- `{kind.__name__}`: {said}"
    children = [c for c in kind.__subclasses__() if c.__module__.startswith("edgeswap")]
    for child in sorted(children, key=lambda c: c.__name__):
        yield from tree_of(child, indent + "  ")


class ErrorTree(SphinxDirective):
    """`{error-tree}`: both trees, as lists."""

    def run(self) -> list[nodes.Node]:
        """Parse the generated lists in place of the directive."""
        self.env.note_reread()  # the classes may have changed where the page has not
        import_errors()
        content = StringList([*tree_of(EdgeswapError), *tree_of(EdgeswapFailure)], source="errors")
        node = nodes.Element()
        node.document = self.state.document
        self.state.nested_parse(content, 0, node)
        return list(node.children)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("error-tree", ErrorTree)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
