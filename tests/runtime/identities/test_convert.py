"""Identities between the swapper and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgeswap_runtime import Identity
from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.identities.convert import identity_file_of, store_identity
from edgeswap_runtime.identities.file import write_identity

if TYPE_CHECKING:
    from edgeswap_runtime import Swapper


def _equal(one: Identity, other: Identity) -> bool:
    a, b = one.arrays, other.arrays
    return a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)


def test_a_stored_identity_swaps_as_the_photo_does(
    swapper: Swapper, photo: Any, tmp_path: Path
) -> None:
    identity = swapper.identity(photo(1))
    path = tmp_path / "a.identity"
    write_identity(path, store_identity(identity, swapper.bundle, photos=["/somewhere/a.png"]))
    again = swapper.identity(path)
    assert _equal(identity, again) and _equal(identity, swapper.identity([str(path)]))
    assert (swapper.swap(photo(2), identity) == swapper.swap(photo(2), again)).all()
    assert b"somewhere" not in path.read_bytes()


def test_an_identity_file_stands_alone(swapper: Swapper, photo: Any) -> None:
    assert identity_file_of("a.png") is None and identity_file_of(photo(1)) is None
    assert identity_file_of(["A.IDENTITY"]) == Path("A.IDENTITY")
    with pytest.raises(InvalidRequest, match="1 more, expected one identity file alone"):
        swapper.identity(["a.identity", "b.png"])
