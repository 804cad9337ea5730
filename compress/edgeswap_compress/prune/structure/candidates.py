"""List the modules that could be dropped from a U-Net, as candidates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgeswap_compress._pruning_errors import BadPlan
from edgeswap_compress.plan.depth import drop_kind
from edgeswap_compress.plan.plan import DropKind, PruningPlan
from edgeswap_compress.plan.skips import check_drops, way_down, way_up


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthCandidate:
    """Modules that can be dropped from a U-Net together, and would be dropped for one reason.

    Attributes:
        dropped: as in a plan: one module, or a layer of a down block with one of its up block.
        layers: names of the layers with weights that would be gone.
    """

    dropped: Mapping[str, DropKind]
    layers: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the module, or of the layer on the way down."""
        return next(iter(self.dropped))


def depth_candidates(unet: Any, protected: Collection[str] = ()) -> tuple[DepthCandidate, ...]:
    """List everything that can be dropped, in the order of the U-Net's modules.

    Single modules are resnets, transformers, the blocks within them, and residual attentions.
    Layers are paired as in BK-SDM (2305.15798, section 3.2): a layer of a down block that keeps
    its number of channels goes with a layer of the up block at the same resolution, the nearest
    one to the reader of its skip connection that keeps its number of channels too.

    Args:
        unet: in its original shape, on any device.
        protected: from `protected_layers`; what holds one of them is no candidate.
    """
    singles = [{name: kind} for name, module in unet.named_modules() if (kind := drop_kind(module))]
    candidates = []
    for dropped in [*singles, *_pairs(unet)]:
        layers = lost_layers(unet, dropped)
        if not set(protected).intersection(layers):
            candidates.append(DepthCandidate(dropped=dropped, layers=layers))
    return tuple(candidates)


def joined(
    unet: nn.Module, dropped: Mapping[str, DropKind], more: Mapping[str, DropKind]
) -> dict[str, DropKind] | None:
    """Join two drops; None where they overlap or do not go together."""
    both = {**dropped, **more}
    if len(both) < len(dropped) + len(more):
        return None
    try:
        PruningPlan(layers={}, dropped=both)
        check_drops(unet, both)
    except BadPlan:
        return None
    return both


def lost_layers(unet: nn.Module, dropped: Mapping[str, DropKind]) -> tuple[str, ...]:
    """Name the layers whose weights go with dropped modules."""
    layers = dict.fromkeys(name.rpartition(".")[0] for name, _ in unet.named_parameters())
    return tuple(filter(goes_with(dropped), layers))


def goes_with(dropped: Mapping[str, DropKind]) -> Callable[[str], bool]:
    """Make a test of names: whether a module is gone when these are dropped."""
    gone = tuple(f"{name}." for name in dropped)
    gone += tuple(
        f"{name.replace('.resnets.', '.attentions.')}."
        for name, kind in dropped.items()
        if kind == "layer"
    )
    kept = {f"{name}.conv_shortcut" for name, kind in dropped.items() if kind == "shortcut"}
    return lambda name: f"{name}.".startswith(gone) and name not in kept


def _pairs(unet: Any) -> list[dict[str, DropKind]]:
    """Layers of the way down with their partners, the deepest first; no partner serves twice."""
    _, down = way_down(unet)
    up = [layer for layer in way_up(unet) if layer.may_go]
    pairs: list[dict[str, DropKind]] = []
    gone: dict[str, DropKind] = {}
    for layer in (layer for layer in reversed(down) if layer.may_go):
        for partner in (other for other in up if other.level == layer.level):
            pair: dict[str, DropKind] = {layer.name: "layer", partner.name: "layer"}
            together = joined(unet, gone, pair)
            if together is not None:
                gone = together
                pairs.append(pair)
                break
    return pairs
