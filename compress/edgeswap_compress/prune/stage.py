"""The pruning stage: a swap checkpoint or a bare U-Net in, a new and smaller one out."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import torch

from edgeswap_compress._progress import StageProgress
from edgeswap_compress._pruning_errors import AlreadyPruned
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.data import read_dataset
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.loop import Cadence
from edgeswap_compress.fit.processes import taken_dtype
from edgeswap_compress.plan.folder import read_unet_folder, write_unet_folder
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.plan.plan_file import read_plan
from edgeswap_compress.prune._config import PruneConfig, RecoverConfig
from edgeswap_compress.prune._samples import Model, calibration_of, token_count
from edgeswap_compress.prune.latency.table import LatencyTable, measure_latencies
from edgeswap_compress.prune.latency.target import build_measured_plan, seeded_inputs
from edgeswap_compress.prune.search.choice import PlanInputs, build_plan
from edgeswap_compress.prune.search.replay import Earlier, prune_weights
from edgeswap_compress.prune.structure.analysis import PrunableStructure, analyze
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.files import canonical_json

__all__ = ["Planner", "PruneFiles", "open_model", "prune", "read_plan", "replay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneFiles:
    """What pruning may read and keep beside the checkpoint.

    Args:
        data: rendered dataset: its triplets judge plans and teach the recovery.
        held_out: dataset for the recovery's figures; a part of `data` when None.
        latencies: file of a table of block latencies, for a latency target; measured and written
            where it does not exist.
        run: folder with the state of rounds and recovery; the same call continues a stopped run.
    """

    data: Path | None = None
    held_out: Path | None = None
    latencies: Path | None = None
    run: Path | None = None


@overload
def prune(
    checkpoint: Path | str,
    config: PruneConfig,
    out: Path | str,
    *,
    files: PruneFiles | None = None,
    recover: RecoverConfig | None = None,
    cadence: None = None,
    progress: StageProgress | None = None,
) -> Path: ...


@overload
def prune(
    checkpoint: Path | str,
    config: PruneConfig,
    out: Path | str,
    *,
    files: PruneFiles | None = None,
    recover: RecoverConfig | None = None,
    cadence: Cadence,
    progress: StageProgress | None = None,
) -> Path | None: ...


def prune(
    checkpoint: Path | str,
    config: PruneConfig,
    out: Path | str,
    *,
    files: PruneFiles | None = None,
    recover: RecoverConfig | None = None,
    cadence: Cadence | None = None,
    progress: StageProgress | None = None,
) -> Path | None:
    """Make a plan for a U-Net and write it pruned, as the kind of folder it came in.

    Args:
        checkpoint: folder of a swap checkpoint, or of a diffusers U-Net or a pipeline with one,
            that has not been pruned; it is only read. Of a pipeline only the U-Net is written.
        config: what to prune to.
        out: the folder to write; it appears whole or not at all.
        files: datasets, and where to keep state.
        recover: how to train after each round; no training when None.
        cadence: of that training: how often to save, when to stop early.
        progress: of rounds and training.

    Returns:
        `out`, or None where the cadence stopped the recovery early; the plan is its
        pruning.json, beside the U-Net's weights.

    Raises:
        AlreadyPruned: the checkpoint has a plan already.
        UnreachableTarget: no aligned plan comes near the ratio.
        UnsupportedModel, BadFolder: see `load_unet`.
        PruningError: the plan or the recovery needs a dataset, and there is none.
        OutputExists: `out` exists.
        TrainingStopped: the run folder belongs to another call.
    """
    files = files or PruneFiles()
    whole = _load_whole(checkpoint, out)
    if recover is not None:
        recover = replace(recover, dtype=taken_dtype(recover.dtype))
    if recover is not None or config.rounds > 1:
        from edgeswap_compress.prune._rounds import Rounds

        rounds = Rounds(checkpoint=Path(checkpoint), config=config, recover=recover, files=files)
        done = rounds.run(whole, cadence=cadence, progress=progress)
        if done is None:
            return None
        pruned, plan = done
        history = config.to_json()
        if recover is not None:
            dtypes = note_dtype(files.run or Path(), recover.dtype)
            history["recover"] = {**recover.to_json(), "dtype": dtypes}
        return _save(whole, pruned, plan, history, out)
    planner = Planner.of(whole, config, Path(checkpoint), files)
    plan = planner.plan(config)
    return _save(whole, prune_weights(whole.unet, plan), plan, config.to_json(), out)


def replay(checkpoint: Path | str, plan: PruningPlan, out: Path | str) -> Path:
    """Prune a checkpoint or a U-Net by a plan that exists already.

    Args:
        checkpoint: as for `prune`, of the architecture the plan was made for.
        plan: its hash goes into the history.
        out: as for `prune`.

    Raises:
        BadPlan: the plan does not fit the U-Net.
        AlreadyPruned, OutputExists: as for `prune`.
    """
    whole = _load_whole(checkpoint, out)
    digest = hashlib.sha256(canonical_json(plan.to_json())).hexdigest()
    return _save(whole, prune_weights(whole.unet, plan), plan, {"plan_sha256": digest}, out)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planner:
    """Makes plans for one model, with everything they need measured once.

    Args:
        unet: in its original shape, float32 where there are calibration samples or a latency table.
        known: `analyze(unet)`.
        plan_inputs: samples and latencies.
    """

    unet: Any
    known: PrunableStructure
    plan_inputs: PlanInputs

    @classmethod
    def of(cls, model: Model, config: PruneConfig, folder: Path, files: PruneFiles) -> Planner:
        """Look at a model; see `prune`."""
        tokens = token_count(model)
        known = analyze(model.unet, tokens=tokens, protect=config.protect)
        data = None if files.data is None else read_dataset(files.data)
        calibration = calibration_of(model, config, folder=folder, data=data)
        unet = model.unet
        if calibration is not None or config.target == "latency":
            unet = _float32(unet)
        latencies = None
        if config.target == "latency":
            latencies = _latencies(unet, known, tokens, files.latencies)
        plan_inputs = PlanInputs(tokens=tokens, calibration=calibration, latencies=latencies)
        return cls(unet=unet, known=known, plan_inputs=plan_inputs)

    def plan(
        self,
        config: PruneConfig,
        *,
        unet: Any = None,
        known: PrunableStructure | None = None,
        earlier: Earlier | None = None,
    ) -> PruningPlan:
        """A plan to a config's ratio.

        Args:
            unet: what `earlier` left of the U-Net, where there is an earlier plan.
            known: analyze of the depth that plan left.
        """
        subject, structure = self.unet if unet is None else unet, known or self.known
        if config.target == "latency":
            return build_measured_plan(
                subject, config, structure, plan_inputs=self.plan_inputs, earlier=earlier
            )
        return build_plan(subject, config, structure, plan_inputs=self.plan_inputs, earlier=earlier)


def _float32(unet: Any) -> Any:
    """The U-Net itself where it is float32, else a copy that is."""
    if all(p.dtype == torch.float32 for p in unet.parameters()):
        return unet
    return torch.nn.Module.float(deepcopy(unet))


def _latencies(unet: Any, known: PrunableStructure, tokens: int, file: Path | None) -> LatencyTable:
    if file is not None and file.exists():
        table = LatencyTable.load(file)
        table.check(known)
        return table
    table = measure_latencies(unet, known, seeded_inputs(unet, tokens))
    if file is not None:
        table.save(file)
    return table


def open_model(path: Path | str) -> Model:
    """A swap checkpoint, where the folder has a swap.json, or else a diffusers U-Net.

    Raises:
        InvalidCheckpoint: the swap checkpoint is damaged.
        BadFolder, UnsupportedModel, BadPlan: see `load_unet`.
    """
    if (Path(path) / "swap.json").exists():
        return Checkpoint.load(path)
    return read_unet_folder(path)


def _load_whole(path: Path | str, out: Path | str) -> Model:
    if Path(out).exists():
        raise OutputExists(out)
    loaded = open_model(path)
    if loaded.plan is not None:
        raise AlreadyPruned(path)
    return loaded


def _save(
    whole: Model, unet: Any, plan: PruningPlan, history: dict[str, Any], out: Path | str
) -> Path:
    if not isinstance(whole, Checkpoint):
        return write_unet_folder(out, unet, plan)
    pruned = Checkpoint(
        unet=unet,
        vae=whole.vae,
        conditioner=whole.conditioner,
        scheduler=whole.scheduler,
        swap=whole.swap.with_stage("prune", history),
        plan=plan,
    )
    return pruned.save(out)
