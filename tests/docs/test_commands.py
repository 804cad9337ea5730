"""Every command that a page names exists, and takes the options that the page gives it."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from functools import cache
from pathlib import Path

import pytest
from command_line import describe, parsers
from pages import ROOT, blocks, name_of, pages

from edgeswap_runtime.cli import COMMANDS, SUBCOMMANDS, parser_of

OTHERS = {"--slow", "--gpus", "--check", "--multi_gpu", "--num_processes", "--help", "--version",
          "--pack", "--unpack", "--parser"}  # fmt: skip
"""Options of other programs that pages mention, and one that an import refuses by name."""


@cache
def parser_once(name: str) -> argparse.ArgumentParser:
    """The parser of a command, built once."""
    return parser_of(name)


def problem(words: list[str]) -> str | None:
    """What is wrong with a command line, as far as its parser can tell; None if nothing is."""
    command, *rest = words
    if command not in COMMANDS:
        return f"there is no command {command}"
    ends = [rest.index(sign) for sign in (">", "|") if sign in rest]
    rest = [word.strip("[]") for word in rest[: min(ends, default=len(rest))]]
    longer = " ".join(words[:2])
    name, rest = (longer, rest[1:]) if longer in SUBCOMMANDS else (command, rest)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            parser_once(name).parse_args(rest)
        except SystemExit as stop:
            return said.getvalue().splitlines()[-1] if stop.code else None
    return None


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_commands_parse(page: Path) -> None:
    wrong = []
    for block in blocks(page):
        if block.language not in ("", "bash", "console", "text"):
            continue
        if not re.search(r"^edgeswap \w", block.text, re.M):
            continue
        for words in block.commands():
            if words[0] == "edgeswap" and words[1:] and not words[1].startswith("-"):
                why = problem(words[1:])
                wrong += [f"line {block.line}: {' '.join(words)}: {why}"] if why else []
    assert wrong == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_options_in_the_text_exist(page: Path) -> None:
    known = {o for parser in parsers() for action in parser._actions for o in action.option_strings}
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    spans = re.findall(r"`([^`\n]+)`", text)
    named = {o for span in spans for o in re.findall(r"(?<![\w-])--[a-z][\w-]*", span)}
    assert sorted(named - known - OTHERS) == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_studies_exist_and_take_the_options(page: Path) -> None:
    for block in blocks(page):
        for line in block.text.replace("\\\n", " ").splitlines():
            script = re.match(r"python ((?:benchmarks|scripts|docs)/\S+\.py)(.*)", line)
            if script is None:
                continue
            source = (ROOT / script[1]).read_text(encoding="utf-8")
            for option in re.findall(r"(?<!\S)--[\w-]+", script[2].partition("#")[0]):
                assert f'"{option}"' in source or 'f"--{name}"' in source, (line, option)


def test_a_wrong_line_is_found() -> None:
    assert problem(["swop", "x"]) == "there is no command swop"
    assert "unrecognized arguments: --fast" in (problem(["verify", "bundle", "--fast"]) or "")
    assert "required" in (problem(["verify"]) or "")
    assert problem(["verify", "bundle", "--json"]) is None


def test_the_reference_describes_every_option() -> None:
    titles = []
    for parser in parsers():
        text = "\n".join(describe(parser))
        titles += re.findall(r"^## (.*)$", text, re.M)
        for action in parser._actions:
            is_child = isinstance(action, argparse._SubParsersAction)
            if action.help is argparse.SUPPRESS or is_child or action.dest == "help":
                continue
            name = action.option_strings[0] if action.option_strings else action.metavar
            assert str(name or action.dest) in text
    assert {*COMMANDS, *SUBCOMMANDS} <= set(titles)
    assert len(titles) == len(set(titles))
