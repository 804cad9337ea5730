"""The pruning stage: a swap checkpoint or a bare U-Net in, a new and smaller one out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeswap_compress._checkpoint import Checkpoint
from edgeswap_compress.prune._apply import apply_plan
from edgeswap_compress.prune._build import build_plan, survey
from edgeswap_compress.prune._config import PruneConfig
from edgeswap_compress.prune._errors import AlreadyPruned, BadPlan
from edgeswap_compress.prune._folder import UNetFolder, read_unet_folder, write_unet_folder
from edgeswap_compress.prune._inputs import DEFAULT_TOKENS
from edgeswap_compress.prune._plan import PruningPlan
from edgeswap_runtime._atomic import canonical_json
from edgeswap_runtime._errors import OutputExists

Model = Checkpoint | UNetFolder
"""What can be pruned; both have a `unet` and a `plan`."""


def prune(checkpoint: Path | str, config: PruneConfig, out: Path | str) -> Path:
    """Make a plan for a U-Net and write it pruned, as the kind of folder it came in.

    Args:
        checkpoint: folder of a swap checkpoint, or of a diffusers U-Net or a pipeline with one,
            that has not been pruned; it is only read. Of a pipeline only the U-Net is written.
        config: what to prune to.
        out: the folder to write; it appears whole or not at all.

    Returns:
        `out`; the plan is its pruning.json, beside the U-Net's weights.

    Raises:
        AlreadyPruned: the checkpoint has a plan already.
        UnreachableTarget: no aligned plan comes near the ratio.
        UnsupportedModel, BadFolder: see `load_unet`.
        OutputExists: `out` exists.
    """
    whole = _load_whole(checkpoint, out)
    plan = build_plan(whole.unet, config, survey(whole.unet, tokens=token_count(whole)))
    return _write(whole, plan, asdict(config), out)


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
    return _write(whole, plan, {"plan_sha256": digest}, out)


def read_plan(path: Path | str) -> PruningPlan:
    """Read a pruning.json.

    Raises:
        BadPlan: the file is missing, is not JSON, or is not a plan.
    """
    try:
        return PruningPlan.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise BadPlan(str(path), "there is no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadPlan(str(path), f"is not JSON: {error}") from error


def open_model(path: Path | str) -> Model:
    """A swap checkpoint, where the folder has a swap.json, or else a diffusers U-Net.

    Raises:
        InvalidCheckpoint: the swap checkpoint is damaged.
        BadFolder, UnsupportedModel, BadPlan: see `load_unet`.
    """
    if (Path(path) / "swap.json").exists():
        return Checkpoint.load(path)
    return read_unet_folder(path)


def token_count(model: Model) -> int:
    """Length of the cross-attention sequence that a model is conditioned on.

    A checkpoint's conditioner says it; for a bare U-Net it is CLIP's.
    """
    if isinstance(model, Checkpoint):
        return int(model.conditioner.null(1).tokens.shape[1])
    return DEFAULT_TOKENS


def _load_whole(path: Path | str, out: Path | str) -> Model:
    if Path(out).exists():
        raise OutputExists(out)
    loaded = open_model(path)
    if loaded.plan is not None:
        raise AlreadyPruned(path)
    return loaded


def _write(whole: Model, plan: PruningPlan, config: dict[str, Any], out: Path | str) -> Path:
    unet = apply_plan(whole.unet, plan)
    if not isinstance(whole, Checkpoint):
        return write_unet_folder(out, unet, plan)
    pruned = Checkpoint(
        unet=unet,
        vae=whole.vae,
        conditioner=whole.conditioner,
        scheduler=whole.scheduler,
        swap=whole.swap.with_stage("prune", config),
        plan=plan,
    )
    return pruned.save(out)
