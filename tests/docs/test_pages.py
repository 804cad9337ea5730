"""How pages are written: lines, lengths, words, records, and what the built site may load."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from error_tree import import_errors, tree_of
from offline import outside_requests
from pages import ROOMS, ROOT, name_of, pages

import edgeswap
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.swap_parts import (
    InputGroup,
    LatentSpace,
    SampleSpace,
    SamplingConfig,
    SamplingStart,
)
from edgeswap_compress.conditioning.crops import CropSpec
from edgeswap_compress.conditioning.specs import (
    AttentionSpec,
    ConstantTokensSpec,
    ControlNetSpec,
    PictureFeature,
    PluginSpec,
    ProjectionSpec,
)
from edgeswap_runtime.bundle.engines import EngineEntry
from edgeswap_runtime.bundle.manifest import Manifest, Mask, ScheduleRow
from edgeswap_runtime.errors import EdgeswapError

DOCS = ROOT / "docs"
GLOSSARY = (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^(\S.*)\n: ((?:.*\n)(?:  .*\n)*)", GLOSSARY, re.M)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_lines_are_short(page: Path) -> None:
    """100 columns; a row of a table is one line by its format, except in README.md."""
    lines = page.read_text(encoding="utf-8").splitlines()
    exempt = () if name_of(page) == "README.md" else ("|",)
    long = [n for n, s in enumerate(lines, 1) if len(s) > 100 and not s.startswith(exempt)]
    assert long == []


def test_readmes_are_short() -> None:
    limits = {"README.md": 150} | {f"{room}/README.md": 100 for room in ROOMS}
    counts = {name: (ROOT / name).read_text("utf-8").count("\n") for name in limits}
    assert {name: n for name, n in counts.items() if n > limits[name]} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_maps_name_what_is_there(room: str) -> None:
    """What stands at the left of a room's map exists in the room."""
    text = (ROOT / room / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"^ {4,10}([\w]+(?:/|\.py))(?: |$)", text, re.M):
        assert list((ROOT / room).rglob(name.rstrip("/"))), name


def test_one_word_has_one_meaning() -> None:
    terms = [term.lower() for term, _ in ENTRIES]
    assert len(terms) > 40
    assert sorted(set(terms)) == sorted(terms)


def test_terms_name_the_module_that_owns_them() -> None:
    for term, said in ENTRIES:
        (module,) = re.findall(r"`(edgeswap_[\w.]+)`\s*$", said)
        assert importlib.util.find_spec(module) is not None, (term, module)
        sentences = re.split(r"(?<=[.:]) (?=[A-Z])", " ".join(said.split()).rpartition("`edge")[0])
        assert 1 <= len(sentences) <= 3, term


def test_decisions_have_one_form() -> None:
    index = (DOCS / "decisions" / "index.md").read_text(encoding="utf-8")
    records = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert len(records) >= 10
    for number, path in enumerate(records, 1):
        headings = re.findall(r"^#+ .*$", path.read_text(encoding="utf-8"), re.M)
        assert headings[0].startswith(f"# {number:04d}: "), path.name
        assert headings[1:] == ["## Context", "## Decision", "## Consequences"], path.name
        assert path.stem in index


def test_results_say_by_which_command_and_on_what() -> None:
    for path in sorted((DOCS / "results").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if path.stem != "index":
            parts = [text.count(f"**{part}") for part in ("Question.", "Machine.", "Command")]
            assert parts[0] > 0 and len(set(parts)) == 1, (path.name, parts)
            assert re.search(r"^(python benchmarks/studies|edgeswap )", text, re.M), path.name
    assert len(list((DOCS / "results").glob("*.md"))) >= 8


def test_every_public_name_is_on_the_python_page() -> None:
    text = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert [n for n in edgeswap.__all__ if not re.search(rf"[`.]{n}\b", text)] == []


CHECKPOINT_PARTS = (
    SwapConfig,
    CropSpec,
    InputGroup,
    LatentSpace,
    SampleSpace,
    SamplingConfig,
    SamplingStart,
    ConstantTokensSpec,
    ProjectionSpec,
    PictureFeature,
    PluginSpec,
    AttentionSpec,
    ControlNetSpec,
)


@pytest.mark.parametrize(
    ("page", "kinds"),
    [
        ("bundle.md", (Manifest, Mask, ScheduleRow, EngineEntry)),
        ("checkpoint.md", CHECKPOINT_PARTS),
    ],
)
def test_every_field_of_a_file_is_on_its_page(page: str, kinds: tuple[Any, ...]) -> None:
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    fields = [field.name for kind in kinds for field in dataclasses.fields(kind)]
    assert [name for name in fields if not re.search(rf"[`., ]{name}[`., ]", text)] == []


def test_first_commands_name_extras_that_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for page in pages():
        for names in re.findall(r'"(?:\.|edgeswap)\[([\w,]+)\]"', page.read_text("utf-8")):
            for extra in names.split(","):
                assert re.search(rf"^{extra} = \[", project, re.M), (page.name, extra)


def test_every_sampler_is_explained() -> None:
    from edgeswap_export import SAMPLERS

    text = (DOCS / "explanation" / "schedules.md").read_text(encoding="utf-8")
    assert [name for name in SAMPLERS if f"| `{name}` |" not in text] == []


def test_files_named_in_pages_exist() -> None:
    named = re.compile(r"`((?:runtime|compress|export|benchmarks|tests|scripts|docs)/[\w./-]+\w)`")
    for page in pages():
        for name in named.findall(page.read_text(encoding="utf-8")):
            new = name.endswith(("/mine.py", "/_NAME.py")) or name.startswith("docs/_build")
            assert new or (ROOT / name).exists(), (name_of(page), name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<script src="https://cdn.example/x.js">', ["https://cdn.example/x.js"]),
        ('<link rel="stylesheet" href="//fonts.example/a.css">', ["//fonts.example/a.css"]),
        ("a { background: url(http://example/x.png) }", ["http://example/x.png"]),
        ('@import "https://example/x.css";', ["https://example/x.css"]),
        ('<a href="https://example/">away</a>', []),
        ('<script src="_static/x.js"></script> a { background: url(data:image/png) }', []),
    ],
)
def test_what_would_be_loaded_from_elsewhere_is_found(text: str, found: list[str]) -> None:
    assert outside_requests(text) == found


def test_the_error_tree_is_whole() -> None:
    import_errors()
    lines = list(tree_of(EdgeswapError))
    assert lines[0].startswith("- `EdgeswapError`: ") and len(lines) > 40
    assert any(re.match(r"  - `NoFaceFound`: \S", line) for line in lines)
    assert all(re.match(r" *- `\w+`: \S", line) for line in lines), "a class without a docstring"


def test_importing_the_site_s_configuration_needs_no_installed_edgeswap() -> None:
    code = "import runpy; print(runpy.run_path('conf.py')['html_theme'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=DOCS, check=True, capture_output=True)
    assert done.stdout.split() == [b"furo"]
