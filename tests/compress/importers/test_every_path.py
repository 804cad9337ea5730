"""Every sampler, spacing, guidance, start and blending of every family is diffusers' own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgeswap_compress.checkpoint.swap_parts import BLENDS, SPACINGS, SamplingStart
from edgeswap_compress.importers.base.parity import ALLOWED
from edgeswap_compress.importers.base.settings import SAMPLERS
from edgeswap_compress.importers.cli import build_parser, request_of
from edgeswap_compress.importers.faceid.build import assemble
from edgeswap_compress.importers.faceid.proof import prove_adapter
from edgeswap_compress.importers.python.stage import assemble_plugin, prove_plugin
from edgeswap_compress.importers.reface.build import assemble_example
from edgeswap_compress.importers.reface.proof import prove_example
from edgeswap_compress.importers.tiny.families import TINY_FAMILIES, tiny_family, tiny_plugin

pytestmark = pytest.mark.filterwarnings("ignore")  # diffusers' own, of versions to come

Prove = Callable[[Any], float | None]

STARTS = (SamplingStart(), SamplingStart(at="target", strength=0.6))
GUIDANCES = (1.0, 3.0)
TOLD = ["--size", "64", "--steps", "5", "--license", "CC0-1.0", "--origin", "made here"]
IN_SHORT = ("faceid_img2img", "instantid", "paint", "python")
"""Families whose paths are tried in short by default, one of each pipeline of diffusers; what
repaints by 9 channels is in `faceid/test_parity.py`."""


def assembled(family: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Prove]:
    """Write a family's files, put the import together once, and give its proof."""
    words = tiny_family(family, folder)
    if family == "python":
        monkeypatch.setenv("EDGESWAP_CONDITIONERS", str(tiny_plugin(folder)))
    out = folder / "out"
    given = [*words[:2], str(out), *words[2:], *TOLD]
    request: Any = request_of(build_parser().parse_args(given))
    if family == "python":
        return assemble_plugin(request, out), partial(prove_plugin, request)
    if family in ("paint", "reface"):
        return assemble_example(request, out, folder), partial(prove_example, request)
    return assemble(request, out, folder), partial(prove_adapter, request)


def paths(family: str, *, every: bool) -> Iterator[dict[str, Any]]:
    """List samplings: all of them, or each sampler and spacing with the rest taken in turns."""
    alone = family in ("paint", "reface")  # whose pipeline begins at noise, and blends nothing
    rest = itertools.product(GUIDANCES, STARTS[:1] if alone else STARTS,
                             BLENDS[:1] if alone else BLENDS)  # fmt: skip
    kinds = itertools.product(SAMPLERS, SPACINGS)
    chosen: Any = itertools.product(kinds, rest)
    if not every:
        chosen = zip(kinds, itertools.cycle(rest), strict=False)
    for (sampler, spacing), (guidance, start, blend) in chosen:
        yield {"sampler": sampler, "spacing": spacing, "guidance_scale": guidance,
               "start": start, "blend": blend}  # fmt: skip


def check(family: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, every: bool) -> None:
    """Prove a family's import along its paths."""
    made, prove = assembled(family, folder, monkeypatch)
    known = made.checkpoint.swap
    for path in paths(family, every=every):
        checkpoint = replace(made.checkpoint, swap=known.sampled(**path))
        difference = prove(replace(made, checkpoint=checkpoint))
        assert difference is not None, path
        assert difference <= ALLOWED, path


@pytest.mark.parametrize("family", IN_SHORT)
def test_each_sampler_and_spacing(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    check(family, tmp_path, monkeypatch, every=False)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", TINY_FAMILIES)
def test_every_path(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    check(family, tmp_path, monkeypatch, every=True)
