"""Apply a plan to a U-Net's weights: resample where the plan says so, then cut."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from edgeswap_compress.plan.apply import apply_plan
from edgeswap_compress.plan.expand import expanded
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune.search._resample import resample


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Earlier:
    """What has been pruned already, where pruning goes on.

    Attributes:
        plan: of the U-Net that is pruned further; the next plan keeps none of what it removed.
        original: the U-Net before any pruning, whose outputs are still the aim.
    """

    plan: PruningPlan
    original: Any


def prune_weights(unet: Any, plan: PruningPlan) -> Any:
    """Prune a U-Net that has weights, in place, and return it.

    Args:
        unet: in its original shape.
        plan: made for it.

    Raises:
        BadPlan, UnsupportedModel: as for `apply_plan`.
    """
    if plan.stats is not None and plan.stats.resampled:
        resample(unet, plan)
    return apply_plan(unet, plan).eval()


def pruned_copy(unet: Any, plan: PruningPlan, earlier: Earlier | None = None) -> Any:
    """Prune a copy of a U-Net in its original shape, or of what an earlier plan left of one."""
    whole = deepcopy(unet) if earlier is None else expanded(unet, earlier.plan)
    return prune_weights(whole, plan)
