"""Every picture that edgeswap writes says what made it; nothing writes one by another way."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime.errors import InvalidRequest, OutputExists
from edgeswap_runtime.pictures import write
from edgeswap_runtime.pictures.mark import read_mark
from edgeswap_runtime.pictures.portraits import packaged_portraits

ROOT = Path(__file__).parents[3]
RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
MAY_SAVE = {
    "runtime/edgeswap_runtime/pictures/write.py",  # the one place
    "compress/edgeswap_compress/train/augment.py",  # compresses in memory, to train on
    "compress/edgeswap_compress/data/render/film.py",  # the same, of a render
    "runtime/edgeswap_runtime/pictures/credentials.py",  # a pixel in memory, to try a certificate
    "benchmarks/studies/batch.py",  # photographs to swap into, in a scratch folder
    "benchmarks/studies/hard.py",  # compresses in memory, as a hard picture is
    "benchmarks/studies/overhead.py",  # a photograph to swap into, in a scratch folder
    "benchmarks/studies/renderer.py",  # a photograph for the aligner, in a scratch folder
    "benchmarks/studies/watermark.py",  # compresses in memory, as an attack
    "benchmarks/studies/fuzzing/photos.py",  # makes broken and odd files, to try readers on
}
OTHER_WAYS = {"imwrite", "imsave", "savefig", "write_png"}


def _saves(source: str) -> list[int]:
    """Lines on which a module that knows Pillow calls some `save`, or others' writers."""
    tree = ast.parse(source)
    pillow = any(
        (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "PIL")
        or (isinstance(node, ast.Import) and any(n.name.split(".")[0] == "PIL" for n in node.names))
        for node in ast.walk(tree)
    )
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    wanted = OTHER_WAYS | ({"save"} if pillow else set())
    return [call.lineno for call in calls if call.func.attr in wanted]  # type: ignore[attr-defined]


def test_nothing_else_writes_pictures() -> None:
    found = {}
    for room in ("runtime", "compress", "export", "benchmarks", "scripts"):
        for file in (ROOT / room).rglob("*.py"):
            name = file.relative_to(ROOT).as_posix()
            lines = _saves(file.read_text(encoding="utf-8"))
            if lines and name not in MAY_SAVE:
                found[name] = lines
    assert not found, f"use edgeswap_runtime.pictures.save_marked: {found}"


def test_the_scan_finds_what_it_looks_for() -> None:
    assert _saves("from PIL import Image\nImage.new('L', (1, 1)).save('a.png')") == [2]
    assert _saves("def f():\n    import PIL.Image\n    g().save('a')") == [3]
    assert _saves("import cv2\ncv2.imwrite('a', b)") == [2]
    assert _saves("checkpoint.save(out)") == []
    for name in MAY_SAVE:
        assert _saves((ROOT / name).read_text(encoding="utf-8")), f"{name} need not be listed"


@pytest.mark.parametrize("origin", ["SWAPPED", "RENDERED", "DIAGRAM", "ALIGNED"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_marked_files(tmp_path: Path, origin: str, suffix: str) -> None:
    term = getattr(write, origin)
    picture = Image.fromarray(RGB) if suffix == ".png" else RGB
    write.save_marked(tmp_path / f"a{suffix}", picture, term)
    mark = read_mark(tmp_path / f"a{suffix}")
    assert mark is not None and mark.digital_source_type == term
    assert mark.software.startswith("edgeswap ") and mark.bundle_sha256 is None
    assert b"bundleSha256" not in (tmp_path / f"a{suffix}").read_bytes()


def test_marked_bytes(tmp_path: Path) -> None:
    small, exact = (write.encode_marked(RGB, "WEBP", write.SWAPPED, quality=q) for q in (50, None))
    assert len(small) < len(exact)
    (tmp_path / "a.webp").write_bytes(small)
    assert read_mark(tmp_path / "a.webp") is not None


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="expected a name ending in"):
        write.save_marked(tmp_path / "a.bmp", RGB, write.RENDERED)
    write.save_marked(tmp_path / "a.png", RGB, write.RENDERED)
    with pytest.raises(OutputExists):
        write.save_marked(tmp_path / "a.png", RGB, write.RENDERED)
    write.save_marked(tmp_path / "a.png", RGB, write.RENDERED, overwrite=True)


def test_pictures_in_the_repository_are_marked() -> None:
    built = ROOT / "docs" / "_build"  # what Sphinx writes there is not of the repository
    pictures = [p for p in (ROOT / "docs").rglob("*.png") if built not in p.parents]
    files = [*packaged_portraits(), *pictures]
    unmarked = [file.name for file in files if read_mark(file) is None]
    assert not unmarked
