"""Plan for one model: measure once what plans are made from, then make as many as needed."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.data import open_pictures
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune._samples import calibration_samples
from edgeswap_compress.prune.config import PruneConfig
from edgeswap_compress.prune.latency.table import LatencyTable, measure_latencies
from edgeswap_compress.prune.latency.target import build_measured_plan, seeded_inputs
from edgeswap_compress.prune.model import Model, token_count
from edgeswap_compress.prune.search.choice import PlanInputs, build_plan
from edgeswap_compress.prune.search.replay import Earlier
from edgeswap_compress.prune.structure.analysis import PrunableStructure, analyze


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneFiles:
    """Files that pruning may read and keep beside the checkpoint.

    Attributes:
        data: dataset of any kind: plans are compared on its pairs, and recovery learns from them.
        held_out: dataset for the recovery's figures; a part of `data` when None.
        latencies: file of a table of block latencies, for a latency target; measured and written
            where it does not exist.
        run: folder with the state of rounds and recovery; the same call continues a stopped run.
    """

    data: Path | None = None
    held_out: Path | None = None
    latencies: Path | None = None
    run: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planner:
    """Makes plans for one model; what they need is measured once.

    Attributes:
        unet: in its original shape, float32 where there are samples or a latency table.
        structure: `analyze(unet)`.
        inputs: samples and latencies.
    """

    unet: Any
    structure: PrunableStructure
    inputs: PlanInputs

    @classmethod
    def of(cls, model: Model, config: PruneConfig, folder: Path, files: PruneFiles) -> Planner:
        """Analyze a model, draw its samples and time its blocks, as the config needs them.

        Args:
            model: that has not been pruned.
            config: what to prune to.
            folder: the model came from.
            files: where to take samples from, and where to keep latencies.
        """
        tokens = token_count(model)
        beside = isinstance(model, Checkpoint) and model.controlnet is not None
        kept = config.choice.protect
        structure = analyze(model.unet, tokens=tokens, protect=kept, inner_only=beside)
        data = None if files.data is None else open_pictures(files.data, loose=True)
        samples = calibration_samples(model, config, folder=folder, data=data)
        if samples is not None:
            samples = samples.to(device_of(model.unet))
        unet = model.unet
        if samples is not None or config.target.name == "latency":
            unet = _float32(unet)
        latencies = None
        if config.target.name == "latency":
            latencies = _latencies(unet, structure, tokens, files.latencies)
        inputs = PlanInputs(tokens=tokens, samples=samples, latencies=latencies)
        return cls(unet=unet, structure=structure, inputs=inputs)

    def plan(
        self,
        config: PruneConfig,
        *,
        unet: Any = None,
        structure: PrunableStructure | None = None,
        earlier: Earlier | None = None,
    ) -> PruningPlan:
        """Make a plan that reaches a config's ratio.

        Args:
            config: what to prune to.
            unet: what `earlier` left of the U-Net; the planner's own when None.
            structure: with the modules gone that `earlier` dropped; the planner's own when None.
            earlier: what has been pruned already.
        """
        subject, left = self.unet if unet is None else unet, structure or self.structure
        if config.target.name == "latency":
            return build_measured_plan(subject, config, left, inputs=self.inputs, earlier=earlier)
        return build_plan(subject, config, left, inputs=self.inputs, earlier=earlier)


def _float32(unet: Any) -> Any:
    """The U-Net itself where it is float32, else a copy that is."""
    if all(p.dtype == torch.float32 for p in unet.parameters()):
        return unet
    return torch.nn.Module.float(deepcopy(unet))


def _latencies(
    unet: Any, structure: PrunableStructure, tokens: int, file: Path | None
) -> LatencyTable:
    if file is not None and file.exists():
        table = LatencyTable.load(file)
        table.check(structure)
        return table
    table = measure_latencies(unet, structure, seeded_inputs(unet, tokens))
    if file is not None:
        table.save(file)
    return table
