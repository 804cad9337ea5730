"""Pruning in rounds, each followed by a short recovery, in a run folder that continues."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.data import open_pictures
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.loop import Cadence
from edgeswap_compress.fit.machine.savings import move
from edgeswap_compress.fit.material.encode import encode_pictures
from edgeswap_compress.fit.material.pairs import PairSet
from edgeswap_compress.fit.pairing import pairing_of
from edgeswap_compress.fit.run_folder import claim, reporter, settings_of
from edgeswap_compress.plan.folder import unet_home
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.plan.plan_file import read_plan
from edgeswap_compress.progress import StageProgress
from edgeswap_compress.prune.config import PruneConfig, RecoverConfig
from edgeswap_compress.prune.model import Model
from edgeswap_compress.prune.planner import Planner, PruneFiles
from edgeswap_compress.prune.recover.objective import RecoverData
from edgeswap_compress.prune.recover.training import Recovery
from edgeswap_compress.prune.search.replay import Earlier, pruned_copy
from edgeswap_compress.prune.structure.analysis import PrunableStructure, analyze_again
from edgeswap_runtime.files import sha256_file, write_json

SELF_SHARE = 0.5
"""Of crops without truths: share of the pairs of one person, whose truth is the target."""

COPIED = ("unet", "conditioner", "controlnet", "parts")
"""What of a checkpoint the training converts to its dtype."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Prunes in rounds, each followed by training where that is asked for.

    Attributes:
        checkpoint: folder that is pruned.
        config: with the number of rounds and the ratio after the last one.
        recover: how to train after each round, or None.
        files: the dataset to learn from, and the run folder.

    Raises:
        PruningError: there is no run folder, or nothing to learn from.
    """

    checkpoint: Path
    config: PruneConfig
    recover: RecoverConfig | None
    files: PruneFiles

    def __post_init__(self) -> None:
        if self.files.run is None:
            raise PruningError("rounds and recovery keep their state: name a folder with --run")
        if self.recover is not None and self.files.data is None:
            raise PruningError(
                "recovery learns from pictures, and there are none: "
                "name a dataset with --data, or leave --recover-minutes out"
            )

    def run(
        self,
        whole: Model,
        *,
        cadence: Cadence | None = None,
        progress: StageProgress | None = None,
    ) -> tuple[Any, PruningPlan] | None:
        """Prune, and train after each round; continues where the run folder stopped.

        Args:
            whole: read from `checkpoint`; its U-Net stays as it is.
            cadence: of the training: how often to save, when to stop early.
            progress: of the stages, by name.

        Returns:
            The pruned U-Net, float32 where it was trained, and its plan; None if stopped early.

        Raises:
            TrainingStopped: the run folder belongs to another call.
        """
        home = self.files.run or Path()
        self._claim(home)
        if self.recover is not None:
            note_dtype(home, self.recover.fit.dtype)
        plans = _Plans(rounds=self, whole=whole)
        recovery = None if self.recover is None else self._recovery(whole, home, progress)
        unet, earlier = whole.unet, None
        for number in range(1, self.config.rounds + 1):
            folder = home / f"round-{number}"
            file = folder / "pruning.json"
            if not file.exists():
                plan = plans.next(number, unet, earlier)
                folder.mkdir(parents=True, exist_ok=True)
                write_json(file, plan.to_json())
            plan = read_plan(file)
            unet = pruned_copy(unet, plan, earlier)
            if recovery is not None:
                report = partial(_stage_of, progress, f"round {number}")
                if not recovery.train(unet, folder, cadence=cadence, report=report):
                    return None
            earlier = Earlier(plan=plan, original=whole.unet)
        return unet, plan

    def _recovery(self, whole: Model, home: Path, progress: StageProgress | None) -> Recovery:
        if not isinstance(whole, Checkpoint) or self.recover is None:
            raise PruningError(
                f"{self.checkpoint} holds a bare U-Net, which nothing says how to train: expected "
                "a swap checkpoint; leave the recovery out"
            )
        digest = sha256_file(self.checkpoint / "swap.json")

        def encode(path: Path, name: str, flips: bool) -> PairSet:
            pictures, file = open_pictures(path, loose=True), home / f"{name}.safetensors"
            report = reporter(progress)
            seen = encode_pictures(whole, pictures, file, flips=flips, report=report, key=digest)
            return PairSet(
                known=seen.latents,
                own=seen.latents,
                pairing=pairing_of(pictures, SELF_SHARE),
                features=seen.features,
            )

        train = encode(self.files.data or Path(), "latents", True)
        held_out = self.files.held_out
        data = RecoverData(
            train=train,
            held_out=train if held_out is None else encode(held_out, "latents-heldout", False),
        )
        copied = {name: deepcopy(getattr(whole, name)) for name in COPIED}
        teacher = replace(whole, **copied)
        if self.recover.fit.offload:  # everything has been encoded
            move([whole.vae], torch.device("cpu"))
        minutes = self.recover.budget.minutes / self.config.rounds
        each = changed(self.recover, {"budget.minutes": minutes})
        return Recovery(teacher=teacher, data=data, config=each)

    def _claim(self, home: Path) -> None:
        """Make the run folder this call's own."""
        data, held_out = self.files.data, self.files.held_out
        key = {
            "checkpoint": _fingerprint(self.checkpoint),
            "config": self.config.to_json(),
            "recover": None if self.recover is None else settings_of(self.recover),
            "data": _digest(data),
            "held_out": _digest(held_out),
        }
        claim(home, key, of="pruning", same="checkpoint, data and settings")


class _Plans:
    """The plan of each round; what they need is measured when the first one is asked for."""

    def __init__(self, *, rounds: Rounds, whole: Model) -> None:
        self._rounds, self._whole = rounds, whole
        self._planner: Planner | None = None
        self._depth: tuple[PrunableStructure, float] | None = None

    def next(self, number: int, unet: Any, earlier: Earlier | None) -> PruningPlan:
        """The plan that takes what an earlier one left as far as a round should."""
        config = self._rounds.config
        planner = self._planner or Planner.of(
            self._whole, config, self._rounds.checkpoint, self._rounds.files
        )
        self._planner = planner
        if config.rounds == 1:
            return planner.plan(config)
        structure, left = self._depth or self._settle_depth(planner, earlier)
        self._depth = structure, left
        ratio = left * (config.target.ratio / left) ** (number / config.rounds)
        step = changed(
            config, {"choice.mode": "width", f"target.{config.target.name}_ratio": ratio}
        )
        return planner.plan(
            step, unet=None if earlier is None else unet, structure=structure, earlier=earlier
        )

    def _settle_depth(
        self, planner: Planner, earlier: Earlier | None
    ) -> tuple[PrunableStructure, float]:
        """What the first round drops, for the final ratio, and the share of the cost it leaves."""
        config, inputs = self._rounds.config, planner.inputs
        if config.choice.mode == "width":
            return planner.structure, 1.0
        final = planner.plan(config) if earlier is None else earlier.plan
        structure = analyze_again(
            planner.unet,
            planner.structure,
            tokens=inputs.tokens,
            dropped=final.dropped,
            protect=config.choice.protect,
        )
        target = inputs.cost_target(structure, config)
        return structure, float(target.cost(structure.costs.sizes)) / target.whole


def _stage_of(progress: StageProgress | None, stage: str, part: str) -> Any:
    return None if progress is None else _named(progress, stage + part)


def _named(progress: StageProgress, stage: str) -> Any:
    return lambda done, total, text: progress(stage, done, total, text)


def _digest(data: Path | None) -> str | None:
    """Hash of a folder's pictures."""
    return None if data is None else open_pictures(data, loose=True).digest


def _fingerprint(folder: Path) -> str:
    """Hash of everything a plan depends on; a checkpoint's swap.json lists its files' hashes."""
    if (folder / "swap.json").is_file():
        return sha256_file(folder / "swap.json")
    home = unet_home(folder)
    files = sorted([home / "config.json", *home.glob("*.safetensors")])
    return hashlib.sha256("".join(map(sha256_file, files)).encode()).hexdigest()
