"""How much each channel matters: one function for each way of judging, listed in IMPORTANCES."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._config import NEED_SAMPLES
from edgeswap_compress.prune.search._saliency import first_order, grouped, squared_weights
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup, Scores

LOSS_THRESHOLD = 0.05  # of the greatest loss: Diff-Pruning leaves out timesteps below it
TIMESTEPS = 32  # that Diff-Pruning looks at, evenly over the noise schedule


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportanceInputs:
    """What an importance may look at.

    Args:
        unet: with weights.
        generator: for importances that draw numbers.
        calibration: samples with a diffusion loss, or None.
        pruned: what `unet` has lost already, in the channels of the original U-Net.
    """

    unet: nn.Module
    generator: torch.Generator
    calibration: CalibrationSamples | None = None
    pruned: PruningPlan | None = None

    def need_probe(self, importance: str) -> CalibrationSamples:
        """The samples.

        Raises:
            PruningError: there are none.
        """
        if self.calibration is None:
            raise PruningError(
                f"importance '{importance}' measures a loss, but there are no samples: "
                "name a rendered dataset with --data"
            )
        return self.calibration


Importance: TypeAlias = Callable[[ImportanceInputs, Sequence[ChannelGroup]], dict[str, Tensor]]
"""Set name -> (size,) of each of some sets of the original U-Net."""


def magnitude(evidence: ImportanceInputs, sets: Sequence[ChannelGroup]) -> dict[str, Tensor]:
    """L2 norm over every weight that a channel touches, in all layers it runs through.

    The group norm of Fang et al., DepGraph (arXiv 2301.12900), eq. 4, without the norms' own
    weights.
    """
    squares = squared_weights(evidence.unet, sets)
    return {name: sums[0].sqrt() for name, sums in grouped(squares, sets, evidence.pruned).items()}


def random(evidence: ImportanceInputs, sets: Sequence[ChannelGroup]) -> dict[str, Tensor]:
    """Uniform in [0, 1): the control that any other importance has to beat."""
    return {chosen.name: torch.rand(chosen.size, generator=evidence.generator) for chosen in sets}


def taylor(evidence: ImportanceInputs, sets: Sequence[ChannelGroup]) -> dict[str, Tensor]:
    """Root mean square, over batches, of the loss change to first order when a channel goes.

    Molchanov et al. (arXiv 1906.10771), eq. 8, with the sum over all weights that go together in
    place of one layer's: (Σ_w w ∂L/∂w)². The loss is the diffusion loss at timesteps that cover
    the whole schedule.
    """
    calibration = evidence.need_probe("taylor")
    rows = [
        first_order(evidence.unet, sets, [(batch, calibration.steps(number))], calibration)
        for number, batch in enumerate(calibration.batches)
    ]
    together = {key: torch.cat([row[key] for row in rows]) for key in rows[0]}
    return {
        name: changes.square().mean(0).sqrt()
        for name, changes in grouped(together, sets, evidence.pruned).items()
    }


def diff_pruning(evidence: ImportanceInputs, sets: Sequence[ChannelGroup]) -> dict[str, Tensor]:
    """|Σ_w w Σ_t ∂L_t/∂w| over the timesteps whose loss is more than a twentieth of the greatest.

    Fang et al., Diff-Pruning (arXiv 2305.10924), section 4: the gradients of all timesteps are
    summed before the weights are looked at, and timesteps of little loss, which say little about
    the content, are left out. The threshold is that of the authors' published commands.
    """
    calibration = evidence.need_probe("diff-pruning")
    total = len(calibration.alphas)
    tasks = []
    for number in range(min(TIMESTEPS, total)):
        batch = calibration.batches[number % len(calibration.batches)]
        step = (number + 1) * total // min(TIMESTEPS, total) - 1
        tasks.append((batch, torch.full((len(batch),), step)))
    with torch.no_grad():
        losses = [float(calibration.loss(evidence.unet, batch, steps)) for batch, steps in tasks]
    chosen = [
        task
        for task, loss in zip(tasks, losses, strict=True)
        if loss > LOSS_THRESHOLD * max(losses)
    ]
    changes = first_order(evidence.unet, sets, chosen, calibration)
    return {name: row[0].abs() for name, row in grouped(changes, sets, evidence.pruned).items()}


IMPORTANCES: dict[str, Importance] = {
    "magnitude": magnitude,
    "random": random,
    "taylor": taylor,
    "diff-pruning": diff_pruning,
}
NEED_PROBE = NEED_SAMPLES


def score(
    unet: nn.Module,
    sets: Sequence[ChannelGroup],
    importance: str,
    seed: int,
    *,
    calibration: CalibrationSamples | None = None,
    pruned: PruningPlan | None = None,
) -> dict[str, Scores]:
    """Importance of every channel of every set.

    Args:
        unet: with weights; in its original shape, or in what `pruned` left of it.
        sets: made for the original U-Net.
        importance: a key of `IMPORTANCES`.
        seed: of the generator that the importance draws from.
        calibration: samples for importances that measure a loss.
        pruned: what the U-Net has lost already; lost channels score 0 and all others more.

    Returns:
        Set name -> one non-negative score a channel; a head's channels share their mean.

    Raises:
        PruningError: the importance needs calibration samples and there are none.
    """
    evidence = ImportanceInputs(
        unet=unet,
        generator=torch.Generator().manual_seed(seed),
        calibration=calibration,
        pruned=pruned,
    )
    scores = IMPORTANCES[importance](evidence, sets)
    return {chosen.name: _finished(scores[chosen.name], chosen, pruned) for chosen in sets}


def _finished(scores: Tensor, chosen: ChannelGroup, pruned: PruningPlan | None) -> Scores:
    values = scores.double().reshape(-1, chosen.unit).mean(dim=1).repeat_interleave(chosen.unit)
    kept = None if pruned is None else kept_of(chosen, pruned)
    if kept is not None:
        least = max(float(values.max()), 1.0) * 1e-12
        alive = values[list(kept)].clamp(min=least)
        values = torch.zeros_like(values)
        values[list(kept)] = alive
    return values.numpy()


def kept_of(chosen: ChannelGroup, plan: PruningPlan) -> tuple[int, ...] | None:
    """The channels of a set that a plan keeps; None where it keeps all."""
    for member in chosen.members:
        cut = plan.layers.get(member.layer)
        axis = None if cut is None else (cut.out if member.axis == "out" else cut.inp)
        if axis is not None:
            start = member.offsets[0]
            here = (index - start for index in axis.kept)
            return tuple(channel for channel in here if 0 <= channel < chosen.size)
    return None
