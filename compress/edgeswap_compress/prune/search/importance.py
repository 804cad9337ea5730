"""Score the importance of channels: one function for each way, listed in `IMPORTANCES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.plan.depth import without
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune.config import PruneConfig
from edgeswap_compress.prune.search._saliency import first_order, grouped, squared_weights
from edgeswap_compress.prune.search.replay import Earlier
from edgeswap_compress.prune.structure.analysis import PrunableStructure
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup, Scores

LOSS_THRESHOLD = 0.05  # of the greatest loss: Diff-Pruning leaves out timesteps below it
TIMESTEPS = 32  # that Diff-Pruning looks at, evenly over the noise schedule


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportanceInputs:
    """What an importance is computed from.

    Attributes:
        unet: with weights.
        generator: for importances that draw numbers.
        samples: samples with a diffusion loss, or None.
        pruned: what `unet` has lost already, in the channels of the original U-Net.
    """

    unet: nn.Module
    generator: torch.Generator
    samples: CalibrationSamples | None = None
    pruned: PruningPlan | None = None

    def require_samples(self, importance: str) -> CalibrationSamples:
        """Give the samples.

        Raises:
            PruningError: there are none.
        """
        if self.samples is None:
            raise PruningError(
                f"importance '{importance}' measures a loss, but there are no samples: "
                "name a dataset with --data"
            )
        return self.samples


ImportanceFunction: TypeAlias = Callable[
    [ImportanceInputs, Sequence[ChannelGroup]], dict[str, Tensor]
]
"""Group name -> (size,) of each of some groups of the original U-Net."""


def magnitude(inputs: ImportanceInputs, groups: Sequence[ChannelGroup]) -> dict[str, Tensor]:
    """Score by the L2 norm over every weight that a channel touches, in all its layers.

    The group norm of Fang et al., DepGraph (arXiv 2301.12900), eq. 4, without the norms' own
    weights.
    """
    squares = squared_weights(inputs.unet, groups)
    return {name: sums[0].sqrt() for name, sums in grouped(squares, groups, inputs.pruned).items()}


def random(inputs: ImportanceInputs, groups: Sequence[ChannelGroup]) -> dict[str, Tensor]:
    """Score uniformly in [0, 1): the control that any other importance has to beat."""
    return {group.name: torch.rand(group.size, generator=inputs.generator) for group in groups}


def taylor(inputs: ImportanceInputs, groups: Sequence[ChannelGroup]) -> dict[str, Tensor]:
    """Score by the first-order change of the loss when a channel goes, RMS over batches.

    Molchanov et al. (arXiv 1906.10771), eq. 8, with the sum over all weights that go together in
    place of one layer's: (Σ_w w ∂L/∂w)². The loss is the diffusion loss at timesteps that cover
    the whole schedule.
    """
    samples = inputs.require_samples("taylor")
    rows = [
        first_order(inputs.unet, groups, [(batch, samples.steps(number))], samples)
        for number, batch in enumerate(samples.batches)
    ]
    together = {key: torch.cat([row[key] for row in rows]) for key in rows[0]}
    return {
        name: changes.square().mean(0).sqrt()
        for name, changes in grouped(together, groups, inputs.pruned).items()
    }


def diff_pruning(inputs: ImportanceInputs, groups: Sequence[ChannelGroup]) -> dict[str, Tensor]:
    """Score by |Σ_w w Σ_t ∂L_t/∂w| over timesteps of more than a twentieth of the greatest loss.

    Fang et al., Diff-Pruning (arXiv 2305.10924), section 4: the gradients of all timesteps are
    summed before the weights are looked at, and timesteps of little loss, which say little about
    the content, are left out. The threshold is that of the authors' published commands.
    """
    samples = inputs.require_samples("diff-pruning")
    total = len(samples.alphas)
    tasks = []
    for number in range(min(TIMESTEPS, total)):
        batch = samples.batches[number % len(samples.batches)]
        step = (number + 1) * total // min(TIMESTEPS, total) - 1
        tasks.append((batch, torch.full((len(batch),), step, device=batch.clean.device)))
    with torch.no_grad():
        losses = [float(samples.loss(inputs.unet, batch, steps)) for batch, steps in tasks]
    counted = [
        task
        for task, loss in zip(tasks, losses, strict=True)
        if loss > LOSS_THRESHOLD * max(losses)
    ]
    changes = first_order(inputs.unet, groups, counted, samples)
    return {name: row[0].abs() for name, row in grouped(changes, groups, inputs.pruned).items()}


IMPORTANCES: dict[str, ImportanceFunction] = {
    "magnitude": magnitude,
    "random": random,
    "taylor": taylor,
    "diff-pruning": diff_pruning,
}


def score(
    unet: nn.Module,
    groups: Sequence[ChannelGroup],
    importance: str,
    seed: int,
    *,
    samples: CalibrationSamples | None = None,
    pruned: PruningPlan | None = None,
) -> dict[str, Scores]:
    """Score every channel of every group.

    Args:
        unet: with weights; in its original shape, or in what `pruned` left of it.
        groups: made for the original U-Net.
        importance: a key of `IMPORTANCES`.
        seed: of the generator that the importance draws from.
        samples: samples for importances that measure a loss.
        pruned: what the U-Net has lost already; lost channels score 0 and all others more.

    Returns:
        Group name -> one non-negative score a channel; a head's channels share their mean.

    Raises:
        PruningError: the importance needs calibration samples and there are none.
    """
    inputs = ImportanceInputs(
        unet=unet,
        generator=torch.Generator().manual_seed(seed),
        samples=samples,
        pruned=pruned,
    )
    scores = IMPORTANCES[importance](inputs, groups)
    return {group.name: _finished(scores[group.name], group, pruned) for group in groups}


def _finished(scores: Tensor, group: ChannelGroup, pruned: PruningPlan | None) -> Scores:
    values = scores.double().reshape(-1, group.unit).mean(dim=1).repeat_interleave(group.unit)
    kept = None if pruned is None else kept_of(group, pruned)
    if kept is not None:
        least = max(float(values.max()), 1.0) * 1e-12
        alive = values[list(kept)].clamp(min=least)
        values = torch.zeros_like(values)
        values[list(kept)] = alive
    return values.cpu().numpy()


def kept_of(group: ChannelGroup, plan: PruningPlan) -> tuple[int, ...] | None:
    """List the channels of a group that a plan keeps; None where it keeps all."""
    for member in group.members:
        cut = plan.layers.get(member.layer)
        axis = None if cut is None else (cut.out if member.axis == "out" else cut.inp)
        if axis is not None:
            start = member.offsets[0]
            here = (index - start for index in axis.kept)
            return tuple(channel for channel in here if 0 <= channel < group.size)
    return None


def scores_of(
    unet: Any,
    config: PruneConfig,
    structure: PrunableStructure,
    *,
    samples: CalibrationSamples | None = None,
    earlier: Earlier | None = None,
) -> dict[str, Scores]:
    """Score every channel of a structure, with the modules it drops gone.

    Args:
        unet: with weights, in its original shape or in what `earlier` left of it; not changed.
        config: its importance and seed are used.
        structure: of the U-Net in its original shape.
        samples: samples, for importances that need them.
        earlier: what the U-Net has lost already.

    Raises:
        PruningError: the importance needs samples.
    """
    pruned = None if earlier is None else earlier.plan
    left = without(unet, structure.dropped) if pruned is None and structure.dropped else unet
    return score(
        left,
        structure.groups,
        config.choice.importance,
        config.seed,
        samples=samples,
        pruned=pruned,
    )
