"""Outputs without a name, which leave no place for the run's folder beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeswap_compress._checks import run_folder
from edgeswap_compress.errors import InvalidSettings


@pytest.mark.parametrize("out", ["", ".", "/", ".."])
def test_an_output_without_a_name_is_refused(out: str) -> None:
    with pytest.raises(InvalidSettings, match="expected the name of a folder to write"):
        run_folder(None, Path(out))


def test_the_run_lies_beside_the_output_unless_it_is_named() -> None:
    assert run_folder(None, Path("a/out")) == Path("a/out.run")
    assert run_folder(Path("b"), Path("a/out")) == Path("b")
