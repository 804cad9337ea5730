"""Train a pruned U-Net to imitate the unpruned one, its block outputs included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from edgeswap_compress.checkpoint.denoiser import SwapDenoiser
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import latents_to_sample, sample_to_latents
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.conditioning.attention import use_plain_attention
from edgeswap_compress.conditioning.condition import Condition
from edgeswap_compress.fit.config import CONDITION_DROPOUT, MASK_WEIGHT, TERMINAL_SHARE
from edgeswap_compress.fit.features import FeatureMatch, block_outputs
from edgeswap_compress.fit.latent_cache import LatentGroups, draw_triplets
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.losses import LatentIdentityLoss, mask_weights
from edgeswap_compress.fit.machine.savings import prepare_unet
from edgeswap_compress.fit.noise_levels import NoiseLevels, draw_timesteps
from edgeswap_compress.prune._config import RecoverConfig
from edgeswap_compress.train.denoiser import Denoiser

FITTED, RIDGE = 32, 1e-4  # samples that regressors begin with, and their regularization
FIGURES = 128  # triplets that the figures are measured on


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecoverData:
    """Latents in the teacher's space.

    Attributes:
        train: to learn from.
        held_out: for the figures; may be `train` again.
    """

    train: LatentGroups
    held_out: LatentGroups


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _TrainingBatch:
    """The inputs of both U-Nets and the outputs they should have.

    Attributes:
        noisy, target, truth, velocity: (N, C, S, S) float32.
        steps: (N,) timesteps.
        condition: of the sources, in the modules' dtype.
        kept: (N,) bool, whose source was not dropped.
        weights: (N, 1, S, S) of the loss, mean 1.
    """

    noisy: Tensor
    target: Tensor
    truth: Tensor
    velocity: Tensor
    steps: Tensor
    condition: Condition
    kept: Tensor
    weights: Tensor

    def apart(self, output: Tensor, wanted: Tensor) -> Tensor:
        """Weighted mean square distance of predictions (N, C, S, S)."""
        return ((output - wanted).square() * self.weights).mean()


class RecoverObjective:
    """Diffusion loss on the truth, distance to the teacher's output, and to its block outputs.

    BK-SDM (2305.15798, eqs. 1-4): L_task + L_outKD + L_featKD. Times and dropped conditions are
    drawn as in the teacher's own training. The conditioner stays the teacher's, so that both
    U-Nets see the same inputs, and only the pruned one learns.

    Args:
        teacher: frozen, converted to the config's dtype.
        unet: learns; likewise converted.

    Raises:
        InvalidCheckpoint: the teacher's scheduler is not of v-prediction.
    """

    def __init__(
        self, teacher: Checkpoint, unet: Any, config: RecoverConfig, data: RecoverData
    ) -> None:
        compute = config.fit.compute()
        self._dtype, self._device = compute.weights, compute.device
        self._levels = NoiseLevels(teacher.scheduler)
        for module in (teacher.unet, teacher.conditioner):
            compute.place(module).eval().requires_grad_(False)
        compute.place(unet).train().requires_grad_(True)
        for model in (teacher.unet, unet):
            if self._device.type == "cpu":
                use_plain_attention(model)  # faster than fused at these sizes
            prepare_unet(model, config.fit, learns=model is unet)
        self.module = Denoiser(unet, teacher.conditioner)
        self._teacher, self._swap, self._config = teacher.unet, teacher.swap, config
        self._train, self._held_out = data.train, data.held_out
        self._identity = LatentIdentityLoss(teacher.conditioner)
        if config.losses.feature_weight > 0:
            self.module.add_module("features", self._feature_match())

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch of random triplets."""
        batch, weigh = self._batch(self._train, draw, batch_size), self._config.losses
        with torch.no_grad(), block_outputs(self._teacher) as wanted:
            theirs = self._predict(self._teacher, batch)
        with block_outputs(self.module.unet) as own:
            output = self._predict(self.module.unet, batch)
        terms = {
            "v_loss": (weigh.truth_weight, batch.apart(output, batch.velocity)),
            "to_teacher": (weigh.output_weight, batch.apart(output, theirs)),
        }
        if weigh.feature_weight > 0:
            match = self.module.get_submodule("features")
            terms["features"] = (weigh.feature_weight, match(own, wanted))
        if weigh.identity.weight > 0:
            identity = self._identity_loss(batch, output, draw)
            terms["identity_loss"] = (weigh.identity.weight, identity)
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        return loss, {name: float(term.detach()) for name, (_, term) in terms.items()}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Distances to truth and teacher on fixed triplets, and the teacher's to the truth."""
        batch = self._batch(self._held_out, Draw.of(0, 2**30), FIGURES)
        output = self._predict(self.module.unet, batch)
        theirs = self._predict(self._teacher, batch)
        return {
            "held_out_v_loss": float(batch.apart(output, batch.velocity)),
            "held_out_teacher_v_loss": float(batch.apart(theirs, batch.velocity)),
            "held_out_to_teacher": float(batch.apart(output, theirs)),
        }

    @torch.no_grad()
    def _batch(self, data: LatentGroups, draw: Draw, n: int) -> _TrainingBatch:
        t = draw_triplets(draw.rng, len(data), data.identities, n)
        target, truth, source = (
            data.read(t.group, place, self._device) for place in (t.target, t.truth, t.source)
        )
        clean = latents_to_sample(self._swap, truth, target)
        noise, terminal = draw.normal(clean), self._levels.terminal
        steps = draw_timesteps(draw.rng, n, terminal, TERMINAL_SHARE).to(self._device)
        kept = ~draw.chosen(CONDITION_DROPOUT, clean)
        return _TrainingBatch(
            noisy=self._levels.add(clean, noise, steps),
            target=target,
            truth=truth,
            velocity=self._levels.velocity(clean, noise, steps),
            steps=steps,
            condition=self._condition(source, kept),
            kept=kept,
            weights=mask_weights(data, t, MASK_WEIGHT, self._device),
        )

    def _condition(self, source: Tensor, kept: Tensor) -> Condition:
        given = self.module.conditioner.condition(self._cast(source))
        null = self.module.conditioner.null(len(source))
        return given.where(kept, null)

    def _predict(self, unet: Any, batch: _TrainingBatch) -> Tensor:
        noisy, target = self._cast(batch.noisy), TargetMaps(self._cast(batch.target))
        denoiser = SwapDenoiser(unet, self._swap)
        return denoiser.predict(noisy, batch.steps, target, batch.condition).float()

    def _identity_loss(self, batch: _TrainingBatch, output: Tensor, draw: Draw) -> Tensor:
        clean = self._levels.clean(batch.noisy, output, batch.steps)
        predicted = sample_to_latents(self._swap, clean, batch.target)
        strength = self._config.losses.identity.noise * draw.shares(batch.truth)
        spoil = strength * draw.normal(batch.truth)
        return self._identity(predicted, batch.truth, batch.kept, spoil)

    def _cast(self, x: Tensor) -> Tensor:
        """To the modules' dtype and memory order."""
        return x.to(self._device, self._dtype).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def _feature_match(self) -> FeatureMatch:
        """Regressors that begin at the least squares of a batch, not at random.

        A pruned block's outputs are still nearly the teacher's, so the match tells at once what
        the pruning took away, where it would first have to learn which channel is which.
        """
        batch, found = self._batch(self._train, Draw.of(0, 2**29), FITTED), []
        for unet in (self.module.unet, self._teacher):
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
