"""Hold what a swap needs of the source person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Identity:
    """What a bundle needs of a source face; made once, used for any number of swaps.

    Attributes:
        arrays: the outputs of the graphs that looked at the source, and that the graphs which look
            at targets take: role, such as "output:identity/tokens", -> float32, of a batch of 1.
            Averaged over the photos.
    """

    arrays: Mapping[str, NDArray[np.float32]]

    def named(self, tensor: str) -> NDArray[np.float32]:
        """Return the array of an output's name, such as "tokens".

        Raises:
            KeyError: there is none, or several graphs give one of that name.
        """
        found = [key for key in self.arrays if key.partition("/")[2] == tensor]
        if len(found) != 1:
            raise KeyError(tensor)
        return self.arrays[found[0]]
