"""Sizes, fitting, and where pictures come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeswap_bench.measure import pictures
from edgeswap_bench.measure.pictures import chosen_paths, fit, parse_size
from edgeswap_runtime.errors import InvalidRequest


def test_a_size_is_width_by_height() -> None:
    assert parse_size("1280x720") == (720, 1280)


@pytest.mark.parametrize("text", ["720", "720x", "axb", "720x1280x3", "8x8", "720x99999", "-1x50"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not WIDTHxHEIGHT: expected two sides of 32 to"):
        parse_size(text)


def test_a_picture_is_fitted_whole_and_centered() -> None:
    picture = np.full((10, 20, 3), 255, np.uint8)
    fitted = fit(picture, (60, 40))
    assert fitted.shape == (60, 40, 3)
    assert (fitted[20:40] == 255).all()
    assert (fitted[:20] == 128).all() and (fitted[40:] == 128).all()


def test_given_pictures_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    portraits = [Path("one.png"), Path("other.png"), Path("two.png")]
    monkeypatch.setattr(pictures, "packaged_portraits", lambda: portraits)
    assert chosen_paths(None, None) == (Path("one.png"), Path("two.png"))
    assert chosen_paths(Path("me.jpg"), None) == (Path("me.jpg"), Path("two.png"))
    assert chosen_paths(None, Path("you.jpg")) == (Path("one.png"), Path("you.jpg"))


def test_without_portraits_pictures_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "packaged_portraits", lambda: [])
    assert chosen_paths(Path("a"), Path("b")) == (Path("a"), Path("b"))
    with pytest.raises(InvalidRequest, match="no packaged portraits: give --source PHOTO and"):
        chosen_paths(Path("a"), None)
