"""Every block of code in the READMEs and the tutorials runs, in order, on tiny models."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import ROOT, Block, blocks

from edgeswap_runtime.cli import main

TUTORIALS = sorted((ROOT / "docs" / "tutorial").glob("[0-9]*.md"))
LESS_WORK = {
    "--samples": "32",
    "--minutes": "0.01",
    "--runs": "2",
}
"""Option -> its value here, where the page asks for more than a test should do."""

PICTURES = ("source.png", "target.png", "source.jpg", "target.jpg")
README_RECIPE = 'checkpoint = "teacher"\n[export]\nsteps = 1\nno-detector = true\n'


def run(page: Path, *, languages: tuple[str, ...] = ("bash", "python")) -> list[Block]:
    """Run a page's blocks in the working folder, as a reader would; those that ran."""
    done = [block for block in blocks(page) if block.language in languages and block.runs]
    names: dict[str, object] = {}
    for block in done:
        where = f"{page.name}, line {block.line}"
        if block.language == "python":
            exec(compile(block.text, where, "exec"), names)
            continue
        for words in block.commands():
            assert words[0] == "edgeswap", f"{where}: {words[0]} is not run by this test"
            if words[1] not in block.skipped:
                assert _edgeswap(words[1:]) == block.exit_code, f"{where}: {' '.join(words)}"
    return done


def _edgeswap(words: list[str]) -> int:
    """One command line, its output into a file where it says so; the exit code."""
    words = [LESS_WORK.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    if ">" not in words:
        return main(words)
    place = words.index(">")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(words[:place])
    Path(words[place + 1]).write_text(printed.getvalue())
    return code


def test_swap_a_photo(place: Callable[..., Path]) -> None:
    folder = place()
    assert len(run(TUTORIALS[0])) == 7
    assert {"swapped.png", "all.png", "from-python.png"} <= {p.name for p in folder.iterdir()}
    assert not (folder / "other.png").exists()


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.timeout(900)
def test_compress_the_teacher(place: Callable[..., Path]) -> None:
    folder = place("source.png", "target.png")
    assert len(run(TUTORIALS[1])) == 7
    assert {"pruned", "student", "bundle", "pruned-0.7"} <= {p.name for p in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_bring_your_own_checkpoint(place: Callable[..., Path]) -> None:
    pytest.importorskip("transformers")
    folder = place("teacher")
    assert len(run(TUTORIALS[2])) == 9
    assert (folder / "exported" / "denoise.onnx").exists()
    assert (folder / "bundle" / "recognizer.onnx").exists()


def test_run_on_a_gpu(place: Callable[..., Path], tiny_bundle: Path) -> None:
    folder = place("source.png", "target.png", bundle=tiny_bundle)
    assert len(run(TUTORIALS[3])) == 2
    assert not (folder / "gpu.png").exists()


def test_profile(place: Callable[..., Path], tiny_bundle: Path) -> None:
    place(bundle=tiny_bundle)
    assert len(run(TUTORIALS[4])) == 3


def test_no_tutorial_is_forgotten() -> None:
    assert len(TUTORIALS) == 5


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.timeout(900)
def test_readme(place: Callable[..., Path]) -> None:
    folder = place("teacher", *PICTURES)
    (folder / "recipe.toml").write_text(README_RECIPE)
    assert len(run(ROOT / "README.md")) == 3
    assert (folder / "out" / "bundle" / "manifest.json").exists()


@pytest.mark.parametrize("page", ["runtime/README.md", "benchmarks/README.md", "README.md"])
def test_python_of_the_runtime(page: str, place: Callable[..., Path], tiny_bundle: Path) -> None:
    place(*PICTURES, "a.jpg", "b.jpg", bundle=tiny_bundle)
    assert run(ROOT / page, languages=("python",))


def test_python_of_compress(place: Callable[..., Path]) -> None:
    place("checkpoint")
    assert run(ROOT / "compress" / "README.md", languages=("python",))


def test_python_of_the_errors_page(
    place: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    place()
    assert run(ROOT / "docs" / "reference" / "errors.md", languages=("python",))
    assert "no-such-folder" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.parametrize("page", ["docs/reference/python.md", "export/README.md"])
def test_python_that_exports(page: str, place: Callable[..., Path], tiny_bundle: Path) -> None:
    folder = place("checkpoint", *PICTURES)
    if page.endswith("python.md"):  # its first block swaps with a bundle, its last one makes one
        place(bundle=tiny_bundle)
        first, *rest = (b for b in blocks(ROOT / page) if b.language == "python")
        exec(compile(first.text, page, "exec"), {})
        (folder / "bundle").rename(folder / "another")
        for block in rest:
            exec(compile(block.text, page, "exec"), {})
    else:
        run(ROOT / page, languages=("python",))
    assert (folder / "bundle" / "manifest.json").exists()
