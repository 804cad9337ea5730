"""Sphinx extension: the command-line reference, written from the commands' own parsers.

`{command-line}` on a page becomes one section for every command, from the `build_parser` of its
module, so that nothing of it is written down twice.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from edgeswap_runtime.cli import COMMANDS, SUBCOMMANDS, parser_of


def names() -> Iterator[str]:
    """Every command, in the order of `edgeswap --help`, sub-commands after their own."""
    for command in COMMANDS:
        yield command
        yield from (name for name in SUBCOMMANDS if name.split()[0] == command)


def parsers() -> Iterator[argparse.ArgumentParser]:
    """Every command's parser, in the order of `names`, those of their actions after them."""
    for name in names():
        yield from _with_children(parser_of(name))


def _with_children(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _with_children(child)


def describe(parser: argparse.ArgumentParser) -> list[str]:
    """One command as MyST text: what it does, how it is called, what each argument means."""
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=88)
    title = parser.prog.removeprefix("edgeswap ")
    lines = [f"## {title}", "", _plain(parser.description or ""), ""]
    lines += ["```text", *parser.format_usage().rstrip().splitlines(), "```", ""]
    for group in parser._action_groups:
        arguments = [action for action in group._group_actions if _is_shown(action)]
        if not arguments:
            continue
        if group.title not in ("positional arguments", "options"):
            lines += [f"**{_plain(group.title or '')}**", ""]
        for action in arguments:
            lines += [_names(parser, action), f": {_help(parser, action)}", ""]
    return lines


def _is_shown(action: argparse.Action) -> bool:
    hidden = action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction)
    return not hidden and not isinstance(action, argparse._SubParsersAction)


def _names(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()
    return f"`{formatter._format_action_invocation(action)}`"


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    choices = [str(choice) for choice in action.choices or ()]
    if choices and not any(choice in text for choice in choices):
        text = f"{text} (one of {', '.join(choices)})".lstrip()
    return _plain(text) or "(no description yet)"


def _plain(text: str) -> str:
    """Help text as MyST prose: its special characters stand for themselves."""
    joined = " ".join(text.replace("%%", "%").split())
    return "".join(f"\\{c}" if c in "\\`*_<>[]{}$|~#" else c for c in joined)


class CommandLine(SphinxDirective):
    """`{command-line}`: every command, from its parser."""

    def run(self) -> list[nodes.Node]:
        """Parse the generated text in place of the directive."""
        self.env.note_reread()  # the parsers may have changed where the page has not
        lines = [line for parser in parsers() for line in describe(parser)]
        content = StringList(lines, source="the parsers of the commands")
        node = nodes.section()
        node.document = self.state.document
        self.state.nested_parse(content, 0, node, match_titles=True)
        return list(node.children)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
