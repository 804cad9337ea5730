"""Pruning in rounds, each followed by a short recovery, in a run folder that continues."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor

from edgeswap_compress._progress import StageProgress
from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.data import read_dataset
from edgeswap_compress.errors import TrainingStopped
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.latent_cache import LatentGroups, encode_dataset
from edgeswap_compress.fit.loop import Cadence, fit
from edgeswap_compress.fit.run_folder import settings_of, steps_in
from edgeswap_compress.plan.folder import unet_home
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune._config import PruneConfig, RecoverConfig
from edgeswap_compress.prune._recover import RecoverData, RecoverObjective
from edgeswap_compress.prune._samples import Model
from edgeswap_compress.prune.search.replay import Earlier, pruned_copy
from edgeswap_compress.prune.stage import Planner, PruneFiles, read_plan
from edgeswap_compress.prune.structure.analysis import PrunableStructure, analyze
from edgeswap_runtime.files import canonical_json, sha256_file, write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """What is done in rounds.

    Args:
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
                "recovery learns from rendered triplets, and there are none: "
                "name a dataset with --data, or leave --recover-minutes out"
            )

    def run(
        self,
        whole: Model,
        *,
        cadence: Cadence | None = None,
        progress: StageProgress | None = None,
    ) -> tuple[Any, PruningPlan] | None:
        """The pruned U-Net, float32 where it was trained, and its plan; None if stopped early.

        Args:
            whole: read from `checkpoint`; its U-Net stays as it is.

        Raises:
            TrainingStopped: the run folder belongs to another call.
        """
        home = self.files.run or Path()
        self._claim(home)
        if self.recover is not None:
            note_dtype(home, self.recover.dtype)
        plans = _Plans(rounds=self, whole=whole)
        lessons = None if self.recover is None else self._lessons(whole, home, progress)
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
            if lessons is not None:
                report = partial(_stage_of, progress, f"round {number}")
                if not lessons.teach(unet, folder, cadence=cadence, report=report):
                    return None
            earlier = Earlier(plan=plan, original=whole.unet)
        return unet, plan

    def _lessons(self, whole: Model, home: Path, progress: StageProgress | None) -> Lessons:
        if not isinstance(whole, Checkpoint) or self.recover is None:
            raise PruningError(
                f"{self.checkpoint} holds a bare U-Net, which nothing says how to train: expected "
                "a swap checkpoint; leave the recovery out"
            )
        digest = sha256_file(self.checkpoint / "swap.json")

        def encode(path: Path, name: str, flips: bool) -> LatentGroups:
            dataset = read_dataset(path)
            return encode_dataset(
                whole.vae,
                whole.swap,
                dataset,
                home / f"{name}.safetensors",
                f"{digest}-{dataset.digest}",
                flips=flips,
                progress=None if progress is None else _named(progress, "latents"),
            )

        train = encode(self.files.data or Path(), "latents", True)
        held_out = self.files.held_out
        data = RecoverData(
            train=train,
            held_out=train if held_out is None else encode(held_out, "latents-heldout", False),
        )
        teacher = replace(whole, unet=deepcopy(whole.unet), conditioner=deepcopy(whole.conditioner))
        teacher.unet.set_attn_processor(AttnProcessor())  # faster than fused at these sizes
        return Lessons(
            teacher=teacher,
            data=data,
            config=self.recover,
            minutes=self.recover.minutes / self.config.rounds,
            seed=self.config.seed,
        )

    def _claim(self, home: Path) -> None:
        """Make the run folder this call's own."""
        data, held_out = self.files.data, self.files.held_out
        key = {
            "checkpoint": _fingerprint(self.checkpoint),
            "config": self.config.to_json(),
            "recover": None if self.recover is None else settings_of(self.recover),
            "data": None if data is None else read_dataset(data).digest,
            "held_out": None if held_out is None else read_dataset(held_out).digest,
        }
        found = {"run": hashlib.sha256(canonical_json(key)).hexdigest()}
        file = home / "run.json"
        if not file.exists():
            home.mkdir(parents=True, exist_ok=True)
            write_json(file, found)
        elif json.loads(file.read_text(encoding="utf-8")) != found:
            raise TrainingStopped(
                f"{home} belongs to another pruning: expected the same checkpoint, data and "
                "settings; name another --run folder"
            )


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
        known, left = self._depth or self._settle_depth(planner, earlier)
        self._depth = known, left
        ratio = left * (config.ratio / left) ** (number / config.rounds)
        step = replace(config, mode="width", **{f"{config.target}_ratio": ratio})
        return planner.plan(
            step, unet=None if earlier is None else unet, known=known, earlier=earlier
        )

    def _settle_depth(
        self, planner: Planner, earlier: Earlier | None
    ) -> tuple[PrunableStructure, float]:
        """What the first round drops, for the final ratio, and the share of the cost it leaves."""
        config, plan_inputs = self._rounds.config, planner.plan_inputs
        if config.mode == "width":
            return planner.known, 1.0
        final = planner.plan(config) if earlier is None else earlier.plan
        known = analyze(
            planner.unet, tokens=plan_inputs.tokens, dropped=final.dropped, protect=config.protect
        )
        goal = plan_inputs.goal(known, config)
        return known, float(goal.cost(known.costs.sizes)) / goal.whole


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lessons:
    """What every round's U-Net is taught by.

    Args:
        teacher: the unpruned checkpoint, for this alone.
        data: latents.
        config: of the recovery.
        minutes: for one round.
        seed: of the draws.
    """

    teacher: Checkpoint
    data: RecoverData
    config: RecoverConfig
    minutes: float
    seed: int

    def teach(
        self,
        unet: Any,
        folder: Path,
        *,
        cadence: Cadence | None,
        report: Callable[[str], Any],
    ) -> bool:
        """Trains a U-Net in place, going on where the folder's run stopped.

        Args:
            report: what is appended to the stage's name -> its progress, None for none.

        Returns:
            Whether it is done; then it is float32 and in evaluation mode.
        """
        objective = RecoverObjective(self.teacher, unet, self.config, self.data)
        settings = self._fit_config(objective, folder / "fit.json", report(" timing"))
        done = fit(objective, settings, folder / "fit", cadence=cadence, progress=report(""))
        if done:
            torch.nn.Module.float(unet).eval()
        return done

    def _fit_config(self, objective: RecoverObjective, file: Path, progress: Any) -> FitConfig:
        """The length is given, or fixed from the speed of a few steps, once per folder."""
        config = self.config
        steps = (config.samples or 0) // config.batch_size
        if config.samples is None:
            steps = steps_in(objective, self.minutes, config.batch_size, self.seed, file, progress)
        return FitConfig(
            samples=steps * config.batch_size,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            optimizer=config.optimizer,
            warmup_steps=min(50, max(1, steps // 10)),
            hold=0.4,
            ema_decay=0.995,
            seed=self.seed,
        )


def _stage_of(progress: StageProgress | None, stage: str, part: str) -> Any:
    return None if progress is None else _named(progress, stage + part)


def _named(progress: StageProgress, stage: str) -> Any:
    return lambda done, total, text: progress(stage, done, total, text)


def _fingerprint(folder: Path) -> str:
    """Hash of everything a plan depends on; a checkpoint's swap.json lists its files' hashes."""
    if (folder / "swap.json").is_file():
        return sha256_file(folder / "swap.json")
    home = unet_home(folder)
    files = sorted([home / "config.json", *home.glob("*.safetensors")])
    return hashlib.sha256("".join(map(sha256_file, files)).encode()).hexdigest()
