"""Who is alike: never a guess."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_runtime import Swapper, read_picture
from edgeswap_runtime.commands.arguments.people import find_like
from edgeswap_runtime.errors import InvalidRequest, NobodyAlike
from edgeswap_runtime.faces.recognize import likeness, nearest
from edgeswap_runtime.pictures.portraits import packaged_portraits

if TYPE_CHECKING:
    from collections.abc import Callable


def test_likeness_is_the_cosine() -> None:
    one, other = np.array([[3.0, 4.0]], np.float32), np.array([[4.0, 3.0]], np.float32)
    assert likeness(one, 7 * one) == pytest.approx(1)
    assert likeness(one, other) == pytest.approx(24 / 25)
    assert likeness(one, 0 * one) == 0


def test_nobody_is_guessed() -> None:
    assert nearest([0.5, 0.95, 0.7], 0.88, "a", "b") == 1
    with pytest.raises(NobodyAlike, match=r"nobody in a is surely the person in b: .* has 0.87"):
        nearest([0.5, 0.87], 0.88, "a", "b")
    with pytest.raises(NobodyAlike, match=r"two faces have 0.95 and 0.94"):
        nearest([0.94, 0.95], 0.88, "a", "b")


def test_a_person_is_found_among_others() -> None:
    paths = packaged_portraits()[:3]
    people = [np.asarray(read_picture(path)) for path in paths]
    people[1] = people[1][:, ::-1]
    with Swapper.open(threads=1) as swapper:
        assert find_like(swapper, np.concatenate(people, axis=1), paths[1]) == 2
        with pytest.raises(NobodyAlike, match="the most alike face has"):
            find_like(swapper, np.concatenate(people[1:], axis=1), paths[0])


def test_another_bundle_is_no_recognizer(swapper: Swapper, photo: Callable[..., Any]) -> None:
    with pytest.raises(InvalidRequest, match="tiny holds no recognizer: its identity graph was"):
        find_like(swapper, photo(1), "a.png")
