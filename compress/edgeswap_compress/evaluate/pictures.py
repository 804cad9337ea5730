"""The pictures of a pair list, and pasting crops into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.faces.paste import paste

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_compress.evaluate._pairs import HeldOut, PairList
    from edgeswap_runtime.bundle.manifest import Mask

    Crops = NDArray[np.uint8]  # (N, R, R, 3) RGB

COVERED_SHARE = 0.02
"""Share of the face that has to be hidden for a pair to count as one with an occluder."""

_WHOLE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # a crop pasted onto a crop


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TripletPictures:
    """Pictures of the pairs of a list.

    Attributes:
        target, truth, source: (n, R, R, 3) uint8 RGB.
        masks: (n, R, R) uint8, the inner face of target and truth, 0..255.
        occluders: (n, R, R) uint8, opacity of what stands before the target's face, 0..255.
    """

    target: Crops
    truth: Crops
    source: Crops
    masks: NDArray[np.uint8]
    occluders: NDArray[np.uint8]

    @classmethod
    def of(cls, dataset: HeldOut, pairs: PairList) -> TripletPictures:
        """Read the pictures of a dataset's pairs."""

        def pictures(positions: NDArray[np.int64]) -> Crops:
            return np.stack(
                [dataset.images(int(g))[p] for g, p in zip(pairs.group, positions, strict=True)]
            )

        masks = [
            np.maximum(dataset.masks(int(g))[t], dataset.masks(int(g))[u])
            for g, t, u in zip(pairs.group, pairs.target, pairs.truth, strict=True)
        ]
        return cls(
            target=pictures(pairs.target),
            truth=pictures(pairs.truth),
            source=pictures(pairs.source),
            masks=np.stack(masks),
            occluders=np.stack(
                [
                    dataset.occluders(int(g))[t]
                    for g, t in zip(pairs.group, pairs.target, strict=True)
                ]
            ),
        )

    def __getitem__(self, which: NDArray[np.int64] | slice) -> TripletPictures:
        """Take some of the pairs."""
        return TripletPictures(
            target=self.target[which],
            truth=self.truth[which],
            source=self.source[which],
            masks=self.masks[which],
            occluders=self.occluders[which],
        )

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def inside(self) -> NDArray[np.float64]:
        """Give the inner face: (n, R, R), 1 inside."""
        return self.masks / 255.0

    @property
    def occluded(self) -> NDArray[np.float64]:
        """Give what stands before the face: (n, R, R), 1 there; all 0 where it hides little."""
        hidden = (self.occluders >= 128).astype(np.float64)
        share = hidden.sum((1, 2)) / (hidden + self.inside).sum((1, 2)).clip(min=1.0)
        return hidden * (share >= COVERED_SHARE)[:, None, None]

    @property
    def outside(self) -> NDArray[np.float64]:
        """Give where target and truth are the same: (n, R, R), 1 there."""
        return (self.masks == 0).astype(np.float64)


def pasted(crops: Crops, targets: Crops, mask: Mask) -> Crops:
    """Paste crops into their targets by a model's mask, as the runtime does in a picture."""
    results = np.array(targets)
    for result, crop in zip(results, crops, strict=True):
        paste(result, crop.astype(np.float32), _WHOLE, mask)
    return results


def people(dataset: HeldOut) -> Crops:
    """Collect everybody's source view (groups * K, R, R, 3), as `PairList.source_person` counts."""
    k = dataset.identities
    return np.concatenate([dataset.images(group)[:k] for group in range(len(dataset))])
