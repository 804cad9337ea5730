"""The pages of the project, and the blocks of code in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("runtime", "compress", "export", "benchmarks")
OTHER_PAGES = ("compress/DATA.md", "compress/edgeswap_compress/weights/MODEL_CARD.md")


def site() -> list[Path]:
    """The pages of docs/, without what was built of them."""
    folder = ROOT / "docs"
    return [p for p in sorted(folder.rglob("*.md")) if "_build" not in p.parts]


def pages() -> list[Path]:
    """Every page that a reader is sent to."""
    readmes = [ROOT / "README.md", *(ROOT / room / "README.md" for room in ROOMS)]
    others = [ROOT / "CONTRIBUTING.md", *(ROOT / name for name in OTHER_PAGES)]
    return [*readmes, *(path for path in others if path.exists()), *site()]


def name_of(page: Path) -> str:
    """A page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of code.

    Attributes:
        language: of its fence, "" where it is indented.
        text: what it holds.
        line: number of its first line.
        note: the HTML comment above it, which says why or how it is not simply run.
    """

    language: str
    text: str
    line: int
    note: str

    @property
    def runs(self) -> bool:
        """Whether it can be run at all."""
        return not self.note.startswith("not run:")

    @property
    def exit_code(self) -> int:
        """What its commands must end with."""
        found = re.match(r"fails with (\d+)", self.note)
        return int(found[1]) if found else 0

    @property
    def skipped(self) -> frozenset[str]:
        """Commands that are left out, from a note such as "skip engine: it needs a GPU"."""
        found = re.match(r"skip ([\w, ]+):", self.note)
        return frozenset(re.split(r",\s*", found[1]) if found else ())

    def commands(self) -> list[list[str]]:
        """Its command lines, split as a shell does; comments and placeholders' dots are gone."""
        joined = self.text.replace("\\\n", " ")
        lines = [shlex.split(line, comments=True) for line in joined.splitlines()]
        return [words for line in lines for words in _split(line) if words]


def _split(words: list[str]) -> Iterator[list[str]]:
    """One command of each part of a line that `&&` joins."""
    while "&&" in words:
        place = words.index("&&")
        yield words[:place]
        words = words[place + 1 :]
    yield words


FENCE = re.compile(r"^ *```([^`\s]*)[^`]*$")
NOTE = re.compile(r"^<!-- (.*) -->$")


def blocks(page: Path) -> list[Block]:
    """Every block of a page, fenced or indented by four columns, in order."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    at, note = 0, ""
    while at < len(lines):
        begun, line = at, lines[at]
        if fence := FENCE.match(line):
            end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == "```")
            body, at, language = lines[at + 1 : end], end, fence[1]
        elif line.startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            body, at, language = [text[4:] for text in lines[at:end]], end - 1, ""
        else:
            if line.strip():
                comment = NOTE.match(line)
                note = comment[1] if comment else ""
            at += 1
            continue
        text = "\n".join(body) + "\n"
        found.append(Block(language=language, text=text, line=begun + 1, note=note))
        at, note = at + 1, ""
    return found
