"""Who is put into which faces of a film, or of a camera's pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgeswap_runtime._clock import StageClock
    from edgeswap_runtime._crop_swapper import Identity
    from edgeswap_runtime.faces.detect import Face
    from edgeswap_runtime.swapper import Swapper
    from edgeswap_runtime.video.tracks import TrackedFace

    People = Identity | Mapping[int, Identity]
    Chosen = tuple[tuple[Identity, tuple[Face, ...]], ...]

_ANY_PLACE = 0


class Cast:
    """Who is put where, by which swappers.

    Args:
        swapper: does the swaps.
        finder: finds the faces, with buffers of its own; the same one, in turns, when None.
        people: who is put into all faces that a tracker chose, or for each place who.
    """

    def __init__(self, swapper: Swapper, finder: Swapper | None, people: People) -> None:
        self.swapper, self.finder = swapper, finder or swapper
        self._people = people if isinstance(people, Mapping) else {_ANY_PLACE: people}

    def digests(self) -> dict[str, str]:
        """Place -> hash of who is put there."""
        return {str(place): _digest(one) for place, one in self._people.items()}

    def choose(self, found: Sequence[TrackedFace]) -> Chosen:
        """Each person who is put in, with the faces they are put into."""
        whole = self._people.get(_ANY_PLACE)
        if whole is not None:
            faces = tuple(one.face for one in found if one.chosen)
            return ((whole, faces),) if faces else ()
        return tuple(
            (self._people[one.place], (one.face,)) for one in found if one.place in self._people
        )

    def swap(
        self, picture: NDArray[np.uint8], chosen: Chosen, clock: StageClock | None = None
    ) -> NDArray[np.uint8] | None:
        """Swap all chosen faces of a picture; None where there are none.

        Args:
            picture: (H, W, 3) uint8, RGB; not changed.
            chosen: from `choose`.
            clock: as for `Swapper.swap`.
        """
        after = None
        for identity, faces in chosen:
            before = picture if after is None else after
            after = self.swapper.swap(before, identity, faces=faces, clock=clock)
        return after


def _digest(identity: Identity) -> str:
    """A hash of everything an identity holds."""
    who = hashlib.sha256()
    for role, part in sorted(identity.arrays.items()):
        who.update(role.encode())
        who.update(np.ascontiguousarray(part).tobytes())
    return who.hexdigest()
