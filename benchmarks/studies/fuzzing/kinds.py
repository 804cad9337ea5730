"""The kinds of mutations, and how many of each the study runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fuzzing import bundles, checkpoints, films, folders, options
from fuzzing.case import Case
from fuzzing.place import Place

Make = Callable[[Place, int, Path], Case]

CRAFTED: dict[str, tuple[Make, Callable[[Place], int]]] = {
    "crafted-manifest": (bundles.crafted_manifest, lambda _: bundles.CRAFTED_MANIFESTS),
    "crafted-graph": (bundles.crafted_graph, lambda _: bundles.CRAFTED_GRAPHS),
    "crafted-checkpoint": (
        checkpoints.crafted_checkpoint,
        lambda _: checkpoints.CRAFTED_CHECKPOINTS,
    ),
    "spoilt-weights": (checkpoints.spoilt_weights, lambda _: 24),
    "crafted-unet": (checkpoints.crafted_unet, lambda _: checkpoints.CRAFTED_UNETS),
    "family": (checkpoints.family, lambda _: checkpoints.CRAFTED_FAMILIES),
    "crafted-plan": (checkpoints.crafted_plan, lambda _: checkpoints.CRAFTED_PLANS),
    "crafted-recipe": (folders.crafted_recipe, lambda _: folders.CRAFTED_RECIPES),
    "crafted-dataset": (folders.crafted_dataset, lambda _: folders.CRAFTED_DATASETS),
    "crafted-picture": (folders.crafted_picture, lambda _: folders.CRAFTED_PICTURES),
    "option": (options.option, options.count),
}
"""Name -> what makes the case with a number, how many there are."""

RANDOM: dict[str, tuple[Make, int]] = {
    "manifest": (bundles.manifest, 28),
    "graph": (bundles.graph, 16),
    "checkpoint": (checkpoints.checkpoint, 18),
    "unet": (checkpoints.unet, 4),
    "plan": (checkpoints.plan, 8),
    "recipe": (folders.recipe, 6),
    "dataset": (folders.dataset, 6),
    "picture": (folders.picture, 8),
    "film": (films.film, 3),
    "packaged": (bundles.packaged, 3),
}
"""Name -> what makes the case of a seed, its share in percent."""


def maker(kind: str) -> Make:
    """What makes the cases of a kind."""
    found = CRAFTED.get(kind) or RANDOM.get(kind)
    if found is None:
        raise LookupError(f"there is no kind {kind!r}: expected one of {[*CRAFTED, *RANDOM]}")
    return found[0]


def crafted(place: Place) -> list[tuple[str, int]]:
    """Every crafted case: (kind, number)."""
    return [(kind, n) for kind, (_, count) in CRAFTED.items() for n in range(count(place))]


def drawn(count: int, seed: int) -> list[tuple[str, int]]:
    """Random cases in their shares: (kind, seed), the seeds counted from ``seed``."""
    return [
        (kind, seed + n)
        for kind, (_, share) in RANDOM.items()
        for n in range(round(count * share / 100))
    ]
