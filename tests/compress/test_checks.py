"""Outputs without a name, which leave no place for the run's folder beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeswap_compress._checks import usual_run
from edgeswap_compress.errors import InvalidSettings


@pytest.mark.parametrize("out", ["", ".", "/", ".."])
def test_an_output_without_a_name_is_refused(out: str) -> None:
    with pytest.raises(InvalidSettings, match="expected the name of a folder to write"):
        usual_run(Path(out))


def test_the_run_lies_beside_the_output() -> None:
    assert usual_run(Path("a/out")) == Path("a/out.run")
