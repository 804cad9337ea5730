"""List of the held-out pairs that are judged, in order, and its hash."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edgeswap_compress.evaluate._errors import InvalidEvaluation, PairsMismatch
from edgeswap_runtime.files import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


class HeldOut(Protocol):
    """What evaluation needs of a dataset; `edgeswap_compress.data.Dataset` is one.

    Of K people, picture a of a group is the source view of person a, and K + b*K + a is scene b
    with the inner face of person a.
    """

    @property
    def identities(self) -> int:
        """Count the people of each group, K; no two groups share one."""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Give everything that decides its pictures but the machine that renders them, as JSON."""

    @property
    def digest(self) -> str:
        """Hash every pixel of the dataset."""

    def __len__(self) -> int:
        """Count the groups."""

    def images(self, group: int, /) -> NDArray[np.uint8]:
        """Read the pictures of a group: (K + K*K, R, R, 3) RGB."""

    def masks(self, group: int, /) -> NDArray[np.uint8]:
        """Read the masks of a group: (K + K*K, R, R), inner face, 0..255."""

    def occluders(self, group: int, /) -> NDArray[np.uint8]:
        """Read the opacity of what stands before the faces: (K + K*K, R, R), 0..255."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairList:
    """Triplets of a dataset: each an untouched target, another person's source view, the truth.

    Attributes:
        recipe: of the dataset that the positions refer to.
        identities: K.
        group, target, truth, source: (n,) int64, positions.
    """

    recipe: Mapping[str, Any]
    identities: int
    group: NDArray[np.int64]
    target: NDArray[np.int64]
    truth: NDArray[np.int64]
    source: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.group)

    @property
    def sha256(self) -> str:
        """Hash the pairs, their order and the dataset's recipe.

        No pixel enters it: renders of one recipe share it though another machine's may differ in
        the last bit, which is what the dataset's digest tells.
        """
        import numpy as np  # which help does without

        rows = np.stack([self.group, self.target, self.truth, self.source], axis=1).tolist()
        listed = {"recipe": dict(self.recipe), "group_target_truth_source": rows}
        return hashlib.sha256(canonical_json(listed)).hexdigest()

    @property
    def source_person(self) -> NDArray[np.int64]:
        """Give the position (n,) of each pair's source person in the gallery, group * K + a."""
        return self.group * self.identities + self.source

    @property
    def target_person(self) -> NDArray[np.int64]:
        """Give the position (n,) of each pair's target person in the gallery, group * K + b."""
        scene = (self.target - self.identities) // self.identities
        return self.group * self.identities + scene

    def first(self, limit: int | None) -> PairList:
        """Take the first pairs of the list, all of them when None.

        Raises:
            InvalidEvaluation: there are fewer, or none is asked for.
        """
        if limit is None:
            return self
        check_limit(limit, len(self))
        return self.pick(slice(limit))

    def pick(self, which: slice | NDArray[np.int64]) -> PairList:
        """Take some of the pairs, in the order given."""
        chosen = {name: getattr(self, name)[which] for name in ("group", "target", "truth")}
        return dataclasses.replace(self, source=self.source[which], **chosen)

    def noise(self, seed: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Draw the standard normal start of each pair's sampling, (n, *shape).

        A function of the seed and the pair alone, so that any model of these latents, at any batch
        size and limit, starts each pair from the same noise.
        """
        import numpy as np  # which help does without

        columns = zip(self.group, self.target, self.source, strict=True)
        draws = [
            np.random.default_rng([seed, *(int(value) for value in key)]).standard_normal(
                shape, dtype=np.float32
            )
            for key in columns
        ]
        return np.stack(draws)

    def check(self, expected: str | None) -> None:
        """Compare the hash with that of another evaluation; None passes.

        Raises:
            PairsMismatch: they differ.
        """
        if expected is not None and expected != self.sha256:
            raise PairsMismatch(expected=expected, found=self.sha256)


def check_limit(limit: int | None, pairs: int) -> None:
    """Refuse to judge other than 1 to all of the pairs that there are.

    Raises:
        InvalidEvaluation: it is so.
    """
    if limit is not None and not 1 <= limit <= pairs:
        raise InvalidEvaluation(
            f"a limit of {limit} pairs: expected 1 to {pairs}, "
            "which is what the dataset holds; edgeswap data render makes a larger one"
        )


def held_out_pairs(dataset: HeldOut) -> PairList:
    """List every pair (untouched person b, source view of another person a) of a dataset.

    The order goes round the groups, and round the people within them, so that the first n pairs
    show as many different people as n pairs can.
    """
    import numpy as np  # which help does without

    from edgeswap_compress.fit.latent_cache import held_out_triplets  # which imports torch

    k = dataset.identities
    draw = held_out_triplets(len(dataset), k)
    scene = (draw.target - k) // k
    # combinations (b, a) numbered so that neighbors differ in both
    combination = ((draw.source - scene) % k - 1) * k + scene
    turn = (combination - draw.group) % (k * (k - 1))
    order = np.lexsort((draw.group, turn))
    pairs = PairList(
        recipe=dataset.recipe,
        identities=k,
        group=draw.group,
        target=draw.target,
        truth=draw.truth,
        source=draw.source,
    )
    return pairs.pick(order)
