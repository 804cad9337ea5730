"""Find what can be pruned in a U-Net, and count what it would save."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from edgeswap_compress._macs import count_macs, count_parameters
from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.conditioning.attention import with_adapter_tokens
from edgeswap_compress.diffusers_folder.example_inputs import DEFAULT_TOKENS, example_inputs
from edgeswap_compress.plan.depth import without
from edgeswap_compress.plan.meta_copy import meta_copy
from edgeswap_compress.plan.plan import DropKind
from edgeswap_compress.plan.skips import check_drops
from edgeswap_compress.prune._protect import protected_layers
from edgeswap_compress.prune.structure._trace import trace
from edgeswap_compress.prune.structure.candidates import lost_layers
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup
from edgeswap_compress.prune.structure.costs import CostModel, cost_model


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunableStructure:
    """The prunable parts of a U-Net and what they cost; weights play no part.

    Attributes:
        meta_copy: the U-Net without weights on the meta device: dropped modules are gone, widths
            are the original ones.
        groups: the channel groups of `meta_copy` that may be pruned.
        costs: MACs and parameters of `meta_copy` as a function of the groups' widths.
        macs: of one forward pass of the U-Net in its original shape.
        parameters: of the U-Net in its original shape.
        dropped: the modules that `meta_copy` lacks, as in a plan.
        inner_only: whether what blocks hand on keeps its width and number.
    """

    meta_copy: nn.Module
    groups: tuple[ChannelGroup, ...]
    costs: CostModel
    macs: int
    parameters: int
    dropped: Mapping[str, DropKind] = field(default_factory=dict)
    inner_only: bool = False


def analyze_again(
    unet: Any,
    structure: PrunableStructure,
    *,
    tokens: int,
    dropped: Mapping[str, DropKind],
    protect: Iterable[str],
) -> PrunableStructure:
    """Analyze a U-Net with other modules dropped, else as `structure` was made; see `analyze`."""
    inner_only = structure.inner_only
    return analyze(unet, tokens=tokens, dropped=dropped, protect=protect, inner_only=inner_only)


def analyze(
    unet: Any,
    *,
    tokens: int = DEFAULT_TOKENS,
    dropped: Mapping[str, DropKind] | None = None,
    protect: Iterable[str] = (),
    inner_only: bool = False,
) -> PrunableStructure:
    """Find the channel groups of a U-Net and count the cost of its layers.

    Args:
        unet: a `UNet2DConditionModel` or `UNet2DModel` that has not been pruned; not changed.
        tokens: length of the cross-attention sequence, for counting MACs.
        dropped: modules to leave out, as in a plan.
        protect: patterns of modules whose layers must stay as they are, see `protected_layers`.
        inner_only: leave the width of what blocks hand on, as a ControlNet adds to it.

    Raises:
        UnsupportedModel: not a U-Net that can be pruned.
        BadPlan: `dropped` does not fit it.
        PruningError: a pattern names no module, or one of a dropped module.
    """
    whole = meta_copy(unet)
    gone = dict(dropped or {})
    check_drops(whole, gone)
    protected = protected_layers(whole, protect)
    if lost := protected.intersection(lost_layers(whole, gone)):
        raise PruningError(f"{min(lost)} is protected, so it cannot be dropped")
    left = without(whole, gone)
    inputs = with_adapter_tokens(whole, example_inputs(unet.config, tokens=tokens))
    groups = tuple(
        group
        for group in trace(left, inputs)
        if not any(member.layer in protected for member in group.members)
        and (not inner_only or group.is_chain or group.attention is not None)
    )
    if not groups:
        raise PruningError(
            "nothing in this U-Net is left to prune: all of its layers are protected, dropped or "
            "of kinds that stay; protect less with --protect"
        )
    return PrunableStructure(
        meta_copy=left,
        groups=groups,
        costs=cost_model(left, inputs, groups),
        macs=count_macs(whole, inputs),
        parameters=count_parameters(whole),
        dropped=gone,
        inner_only=inner_only,
    )
