"""Prune a swap checkpoint or a bare U-Net: read one folder, write a new and smaller one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import torch

from edgeswap_compress._pruning_errors import AlreadyPruned
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.loop import Cadence
from edgeswap_compress.fit.machine.device import AUTO, resolve_device
from edgeswap_compress.fit.processes import taken_machine
from edgeswap_compress.plan.folder import write_unet_folder
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.progress import StageProgress
from edgeswap_compress.prune.config import PruneConfig, RecoverConfig
from edgeswap_compress.prune.model import Model, open_model
from edgeswap_compress.prune.planner import Planner, PruneFiles
from edgeswap_compress.prune.recover.rounds import Rounds
from edgeswap_compress.prune.search.replay import prune_weights
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.files import canonical_json

__all__ = ["PruneFiles", "prune", "replay"]


@overload
def prune(
    checkpoint: Path | str,
    config: PruneConfig,
    out: Path | str,
    *,
    files: PruneFiles | None = None,
    recover: RecoverConfig | None = None,
    device: str = AUTO,
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
    device: str = AUTO,
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
    device: str = AUTO,
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
        device: that importances and plans are computed on, see `check_device`; the recovery has its
            own. For a latency target everything but the recovery is the processor's.
        cadence: of that training: how often to save, when to stop early.
        progress: of rounds and training.

    Returns:
        `out`, or None where the cadence stopped the recovery early; the plan is its
        pruning.json, beside the U-Net's weights.

    Raises:
        AlreadyPruned: the checkpoint has a plan already.
        UnreachableTarget: no aligned plan comes near the ratio.
        UnsupportedModel, BadUNetFolder: see `load_unet`.
        PruningError: the plan or the recovery needs a dataset, and there is none.
        OutputExists: `out` exists.
        TrainingStopped: the run folder belongs to another call.
    """
    files = files or PruneFiles()
    whole = _load_whole(checkpoint, out)
    if recover is not None:
        recover = replace(recover, fit=taken_machine(recover.fit))
    if config.target.name != "latency":
        _move(whole, resolve_device(device))
    if recover is not None or config.rounds > 1:
        rounds = Rounds(checkpoint=Path(checkpoint), config=config, recover=recover, files=files)
        done = rounds.run(whole, cadence=cadence, progress=progress)
        if done is None:
            return None
        pruned, plan = done
        history = config.to_json()
        if recover is not None:
            history["recover"] = recover.to_json()
            dtypes = note_dtype(files.run or Path(), recover.fit.dtype)
            history["recover"]["fit"]["dtype"] = dtypes
        return _save(whole, pruned, plan, history, out)
    planner = Planner.of(whole, config, Path(checkpoint), files)
    plan = planner.plan(config)
    return _save(whole, prune_weights(whole.unet, plan), plan, config.to_json(), out)


def replay(checkpoint: Path | str, plan: PruningPlan, out: Path | str) -> Path:
    """Prune a checkpoint or a U-Net by an existing plan.

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


def _move(model: Model, device: torch.device) -> None:
    """Move a model's modules to a device, and the constants beside them."""
    if isinstance(model, Checkpoint):
        model.move(device)
    else:
        torch.nn.Module.to(model.unet, device)


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
    swap = whole.swap.with_stage("prune", history)
    return replace(whole, unet=unet, plan=plan, swap=swap).save(out)
