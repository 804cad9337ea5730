"""The pruning stage: one checkpoint folder in, a new and smaller one out."""

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
from edgeswap_compress.prune._plan import PruningPlan
from edgeswap_runtime._atomic import canonical_json
from edgeswap_runtime._errors import OutputExists


def prune(checkpoint: Path | str, config: PruneConfig, out: Path | str) -> Path:
    """Make a plan for a checkpoint's U-Net and write the pruned checkpoint.

    Args:
        checkpoint: folder of one that has not been pruned; it is only read.
        config: what to prune to.
        out: the folder to write; it appears whole or not at all.

    Returns:
        `out`; its unet/pruning.json is the plan.

    Raises:
        AlreadyPruned: the checkpoint has a plan already.
        UnreachableTarget: no aligned plan comes near the ratio.
        OutputExists: `out` exists.
    """
    whole = _load_whole(checkpoint, out)
    plan = build_plan(whole.unet, config, survey(whole.unet, tokens=token_count(whole)))
    return _write(whole, plan, asdict(config), out)


def replay(checkpoint: Path | str, plan: PruningPlan, out: Path | str) -> Path:
    """Prune a checkpoint by a plan that exists already.

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


def token_count(checkpoint: Checkpoint) -> int:
    """Length of the cross-attention sequence that a checkpoint's conditioner gives."""
    return int(checkpoint.conditioner.null(1).tokens.shape[1])


def _load_whole(checkpoint: Path | str, out: Path | str) -> Checkpoint:
    if Path(out).exists():
        raise OutputExists(out)
    loaded = Checkpoint.load(checkpoint)
    if loaded.plan is not None:
        raise AlreadyPruned(checkpoint)
    return loaded


def _write(whole: Checkpoint, plan: PruningPlan, config: dict[str, Any], out: Path | str) -> Path:
    pruned = Checkpoint(
        unet=apply_plan(whole.unet, plan),
        vae=whole.vae,
        conditioner=whole.conditioner,
        scheduler=whole.scheduler,
        swap=whole.swap.with_stage("prune", config),
        plan=plan,
    )
    return pruned.save(out)
