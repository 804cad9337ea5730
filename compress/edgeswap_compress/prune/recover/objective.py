"""Train a pruned U-Net to imitate the unpruned one, its block outputs included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeswap_compress.checkpoint.denoiser import SwapDenoiser
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import sample_to_latents
from edgeswap_compress.conditioning.attention import use_plain_attention
from edgeswap_compress.fit.config import CONDITION_DROPOUT, MASK_WEIGHT, TERMINAL_SHARE
from edgeswap_compress.fit.features import FeatureMatch, block_outputs
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.losses import LatentIdentityLoss
from edgeswap_compress.fit.machine.savings import prepare_unet
from edgeswap_compress.fit.material.batches import PairBatch, PairReader
from edgeswap_compress.fit.material.pairs import PairSet
from edgeswap_compress.fit.noise_levels import NoiseLevels, draw_timesteps
from edgeswap_compress.prune.config import RecoverConfig
from edgeswap_compress.train.denoiser import Denoiser

FITTED, RIDGE = 32, 1e-4  # samples that regressors begin with, and their regularization
FIGURES, AT_ONCE = 128, 16  # pairs that the figures are measured on, and those of a batch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecoverData:
    """Pairs of pictures, as the teacher sees them.

    Attributes:
        train: to learn from.
        held_out: for the figures; may be `train` again.
    """

    train: PairSet
    held_out: PairSet


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _TrainingBatch:
    """The inputs of both U-Nets and the output that the truth asks for.

    Attributes:
        pairs: what is seen of them.
        noisy: (N, C, S, S) float32.
        wanted: (N, C, S, S) float32, what a U-Net that knew the truth would predict.
        steps: (N,) timesteps.
        kept: (N,) bool, whose source was not dropped.
    """

    pairs: PairBatch
    noisy: Tensor
    wanted: Tensor
    steps: Tensor
    kept: Tensor

    def to_truth(self, output: Tensor) -> Tensor:
        """Measure the distance to the truth, of the pairs that have one."""
        return self.pairs.apart(output, self.wanted, self.pairs.exact)


class RecoverObjective:
    """Diffusion loss on the truth, distance to the teacher's output, and to its block outputs.

    BK-SDM (2305.15798, eqs. 1-4): L_task + L_outKD + L_featKD, of whatever the U-Net predicts.
    Times and dropped conditions are drawn as in the teacher's own training, or evenly over the part
    of the schedule that is run. Where nobody knows a pair's truth the noised target is asked, and
    the teacher alone answers. Everything but the U-Net stays the teacher's, so that both U-Nets see
    the same inputs, and only the pruned one learns.

    Args:
        teacher: frozen, converted to the config's dtype; its autoencoder is left alone.
        unet: learns; likewise converted.
    """

    def __init__(
        self, teacher: Checkpoint, unet: Any, config: RecoverConfig, data: RecoverData
    ) -> None:
        compute = config.fit.compute()
        self._device = compute.device
        self._levels = NoiseLevels(teacher.scheduler)
        for module in asked_modules(teacher):
            compute.place(module).eval().requires_grad_(False)
        compute.place(unet).train().requires_grad_(True)
        for model in (teacher.unet, unet):
            if self._device.type == "cpu":
                use_plain_attention(model)  # faster than fused at these sizes
            prepare_unet(model, config.fit, learns=model is unet)
        self.module = Denoiser(unet, teacher.conditioner)
        self._teacher, self._swap, self._config = teacher, teacher.swap, config
        self._train, self._held_out = data.train, data.held_out
        self._reader = PairReader(teacher, MASK_WEIGHT)
        self._identity = None
        if config.losses.identity.weight > 0 and self._swap.encodes_source:
            self._identity = LatentIdentityLoss(teacher.conditioner)
        if config.losses.feature_weight > 0:
            self.module.add_module("features", self._feature_match())

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch of random pairs."""
        batch, weigh = self._batch(self._train, draw, batch_size), self._config.losses
        with torch.no_grad(), block_outputs(self._teacher.unet) as wanted:
            theirs = self._predict(self._teacher.unet, batch)
        with block_outputs(self.module.unet) as own:
            output = self._predict(self.module.unet, batch)
        terms = {
            "to_truth": (weigh.truth_weight, batch.to_truth(output)),
            "to_teacher": (weigh.output_weight, batch.pairs.apart(output, theirs)),
        }
        if weigh.feature_weight > 0:
            match = self.module.get_submodule("features")
            terms["features"] = (weigh.feature_weight, match(own, wanted))
        if self._identity is not None:
            identity = self._identity_loss(self._identity, batch, output, draw)
            terms["identity_loss"] = (weigh.identity.weight, identity)
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        return loss, {name: float(term.detach()) for name, (_, term) in terms.items()}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Measure distances to teacher and truth on fixed pairs, and the teacher's to the truth."""
        rows = []
        for number in range(FIGURES // AT_ONCE):
            batch = self._batch(self._held_out, Draw.of(0, 2**30 + number), AT_ONCE)
            output = self._predict(self.module.unet, batch)
            theirs = self._predict(self._teacher.unet, batch)
            apart = (*map(batch.to_truth, (output, theirs)), batch.pairs.apart(output, theirs))
            rows.append([float(value) for value in apart])
        names = ("held_out_to_truth", "held_out_teacher_to_truth", "held_out_to_teacher")
        return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))

    @torch.no_grad()
    def _batch(self, data: PairSet, draw: Draw, n: int) -> _TrainingBatch:
        drawn = data.draw(draw.rng, n)
        kept = torch.from_numpy(draw.rng.random(n) >= CONDITION_DROPOUT).to(self._device)
        pairs = self._reader.read(data, drawn, kept)
        steps = self._timesteps(draw, n)
        noisy = self._levels.add(pairs.clean, draw.normal(pairs.clean), steps)
        wanted = self._levels.wanted(noisy, pairs.clean, steps)
        return _TrainingBatch(pairs=pairs, noisy=noisy, wanted=wanted, steps=steps, kept=kept)

    def _timesteps(self, draw: Draw, n: int) -> Tensor:
        """Draw timesteps (N,) where the model is asked in use."""
        levels, start = self._levels, self._swap.sampling.start
        if start.at == "noise" and levels.ends_in_noise:
            steps = draw_timesteps(draw.rng, n, levels.terminal, TERMINAL_SHARE)
        else:
            top = max(1, round(start.strength * (levels.terminal + 1)))
            steps = torch.from_numpy(draw.rng.integers(top, size=n))
        return steps.to(self._device)

    def _predict(self, unet: Any, batch: _TrainingBatch) -> Tensor:
        denoiser = SwapDenoiser(unet, self._swap, self._teacher.controlnet)
        noisy, seen = self._reader.cast(batch.noisy), batch.pairs
        return denoiser.predict(noisy, batch.steps, seen.maps, seen.condition).float()

    def _identity_loss(
        self, look: LatentIdentityLoss, batch: _TrainingBatch, output: Tensor, draw: Draw
    ) -> Tensor:
        velocity = self._levels.as_velocity(output, batch.noisy, batch.steps)
        clean = self._levels.clean(batch.noisy, velocity, batch.steps)
        predicted = sample_to_latents(self._swap, clean, batch.pairs.target)
        truth = batch.pairs.truth
        spoil = self._config.losses.identity.noise * draw.shares(truth) * draw.normal(truth)
        return look(predicted, truth, batch.kept & batch.pairs.exact, spoil)

    @torch.no_grad()
    def _feature_match(self) -> FeatureMatch:
        """Regressors that begin at the least squares of a batch, not at random.

        A pruned block's outputs are still nearly the teacher's, so the match tells at once what
        the pruning took away, where it would first have to learn which channel is which.
        """
        batch, found = self._batch(self._train, Draw.of(0, 2**29), FITTED), []
        for unet in (self.module.unet, self._teacher.unet):
            with block_outputs(unet) as seen:
                self._predict(unet, batch)
            found.append(seen)
        own, wanted = found
        widths = [(a.shape[1], b.shape[1]) for a, b in zip(own, wanted, strict=True)]
        match = FeatureMatch(widths).to(self._device)
        regressors: Any = match.regressors
        for regressor, mine, theirs in zip(regressors, own, wanted, strict=True):
            weight, bias = _least_squares(_rows(mine), _rows(theirs))
            regressor.weight.copy_(weight[..., None, None])
            regressor.bias.copy_(bias)
        return match


def asked_modules(model: Checkpoint) -> list[Any]:
    """List the modules that a training asks once all pictures are encoded."""
    return [m for name, m in model.modules().items() if name not in ("vae", "overlay")]


def _rows(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N H W, C) float64."""
    return maps.double().movedim(1, -1).flatten(0, 2)


def _least_squares(given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (B, A) and bias (B,) of the linear map from rows (n, A) to rows (n, B), ridged."""
    ones = torch.cat([given, given.new_ones(len(given), 1)], 1)
    gram = ones.T @ ones
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    solution = torch.linalg.solve(gram, ones.T @ wanted).T
    return solution[:, :-1], solution[:, -1]
