"""The conditioned U-Net: v-prediction diffusion on the residual, with a latent identity loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from edgeswap_compress.checkpoint.denoiser import SwapDenoiser
from edgeswap_compress.checkpoint.latents import latents_to_sample, sample_to_latents
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.conditioning.attention import use_plain_attention
from edgeswap_compress.conditioning.condition import Condition
from edgeswap_compress.conditioning.source import SourceConditioner
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.losses import LatentIdentityLoss
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.fit.noise_levels import NoiseLevels, draw_timesteps
from edgeswap_compress.train._unpaired import structure_loss, unpaired_figures
from edgeswap_compress.train.config import DenoiserConfig
from edgeswap_compress.train.examples import ExampleBatch, Examples


def build_denoiser(config: DenoiserConfig, swap: SwapConfig, conditioner: SourceConditioner) -> Any:
    """Build an untrained U-Net whose conditioning fits the conditioner."""
    shape = config.shape
    widths, levels = shape.block_out_channels, len(shape.block_out_channels)
    settings: Any = conditioner.config
    unet = UNet2DConditionModel(
        sample_size=swap.latent_size,
        in_channels=swap.input_width,
        out_channels=swap.latent_channels,
        block_out_channels=widths,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
        up_block_types=("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
        layers_per_block=shape.layers_per_block,
        cross_attention_dim=settings.widths[1],
        attention_head_dim=shape.attention_heads,  # diffusers reads this as the number of heads
        class_embed_type="projection",
        projection_class_embeddings_input_dim=settings.vector_size,
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=shape.norm_num_groups,
        use_linear_projection=True,
        time_embedding_dim=shape.time_embedding_dim,
    )
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    return unet


class Denoiser(nn.Module):
    """U-Net and conditioner, which learn together."""

    def __init__(self, unet: Any, conditioner: SourceConditioner) -> None:
        super().__init__()
        self.unet, self.conditioner = unet, conditioner


class DenoiserObjective:
    """Weighted v-loss (2202.00512, eq. 9) plus an identity loss on the predicted clean latents.

    The first part of the training is at t = T alone, where v-prediction at zero terminal SNR is
    plain regression of the residual: it learns what to move where before it learns to sample.

    Nobody knows the residual of a pair without truth, so there is nothing to noise: such a pair is
    trained at t = T alone, to keep the target outside the mask and in its structure, and to have
    the source's identity.

    Args:
        judge: source encoder that the identity loss keeps a frozen copy of; the conditioner as it
            is at the start when None.
        structure_weight: of `structure_loss`, where some pairs have no truth.
    """

    def __init__(
        self,
        unet: Any,
        conditioner: SourceConditioner,
        scheduler: Any,
        swap: SwapConfig,
        config: DenoiserConfig,
        train: Examples,
        held_out: Examples,
        judge: SourceConditioner | None = None,
        structure_weight: float = 0.0,
        metric: Tensor | None = None,
    ) -> None:
        use_plain_attention(unet)  # faster than fused attention at these sizes
        self.module = Denoiser(unet, conditioner)
        self._swap, self._config = swap, config
        self._train, self._held_out = train, held_out
        self._structure_weight = structure_weight
        self._identity = LatentIdentityLoss(judge or conditioner)
        self._dtype, self._device = next(unet.parameters()).dtype, device_of(unet)
        share = 0.0 if metric is None else config.losses.metric_share
        self._metric = (1.0 - share) * torch.eye(swap.latent_channels, device=self._device)
        if metric is not None:
            self._metric += share * metric
        self._levels = NoiseLevels(scheduler)
        self._terminal = self._levels.terminal

    def _cast(self, x: Tensor) -> Tensor:
        return x.to(self._device, self._dtype).contiguous(memory_format=torch.channels_last)

    def _predict(self, x: Tensor, steps: Tensor, target: Tensor, condition: Condition) -> Tensor:
        """Evaluate the U-Net on noisy samples and target latents (N, C, S, S), in float32."""
        denoiser = SwapDenoiser(self.module.unet, self._swap)
        seen = TargetMaps(self._cast(target))
        return denoiser.predict(self._cast(x), steps, seen, condition).float()

    def _timesteps(self, rng: np.random.Generator, n: int, done: float) -> Tensor:
        shares = self._config.shares
        if done < shares.one_step_share:
            return torch.full((n,), self._terminal, device=self._device)
        drawn = draw_timesteps(rng, n, self._terminal, shares.terminal_share)
        return drawn.to(self._device)

    def _condition(self, latents: Tensor, dropped: Tensor | None) -> Condition:
        conditioner = self.module.conditioner
        given = conditioner.condition(self._cast(latents))
        if dropped is None:
            return given
        null = conditioner.null(len(latents))
        return null.where(dropped, given)

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of a batch of random examples."""
        swap, config = self._swap, self._config
        batch = self._train.batch(draw, batch_size).to(self._device)
        target, truth, exact = batch.target, batch.truth, batch.exact
        clean = latents_to_sample(swap, truth, target)
        noise = draw.normal(clean)
        steps = self._timesteps(draw.rng, batch_size, done)
        steps = torch.where(exact, steps, self._terminal)
        noisy = self._levels.add(clean, noise, steps)
        velocity = self._levels.velocity(clean, noise, steps)
        dropped = draw.chosen(config.shares.condition_dropout, target)
        condition = self._condition(batch.source, dropped)
        output = self._predict(noisy, steps, target, condition)
        weights = batch.weights(config.losses.mask_weight)
        error = output - velocity
        paid = error * torch.einsum("cd,ndhw->nchw", self._metric, error)
        loss = (paid * weights).mean()
        parts = {"v_loss": float(loss.detach())}
        predicted = sample_to_latents(swap, self._levels.clean(noisy, output, steps), target)
        if self._structure_weight > 0:
            structure = structure_loss(predicted, target, exact)
            loss = loss + self._structure_weight * structure
            parts["structure_loss"] = float(structure.detach())
        if config.losses.identity.weight > 0:
            spoil = config.losses.identity.noise * draw.shares(truth) * draw.normal(truth)
            identity = self._identity(predicted, batch.wanted(), ~dropped, spoil, exact)
            loss = loss + config.losses.identity.weight * identity
            parts["identity_loss"] = float(identity.detach())
        return loss, parts

    @torch.no_grad()
    def predicted(
        self, batch: ExampleBatch, draw: Draw | None, terminal_share: float = 1.0
    ) -> Tensor:
        """Predict clean latents (N, C, S, S) of a batch from one noise each.

        Args:
            batch: examples with truths.
            draw: of noise and times; None draws the same noise for every call.
            terminal_share: of the batch predicted from pure noise, the rest at random times.
        """
        draw = draw or Draw.of(0, 0)
        clean = latents_to_sample(self._swap, batch.truth, batch.target)
        early = draw.rng.random(len(batch)) < terminal_share
        steps = torch.from_numpy(
            np.where(early, self._terminal, draw.rng.integers(self._terminal, size=len(batch)))
        ).to(self._device)
        noisy = self._levels.add(clean, draw.normal(clean), steps)
        condition = self._condition(batch.source, None)
        output = self._predict(noisy, steps, batch.target, condition)
        found = self._levels.clean(noisy, output, steps)
        return sample_to_latents(self._swap, found, batch.target)

    def evaluate(self) -> dict[str, float]:
        """Measure held-out figures, of the examples with a truth and of those without."""
        batch = self._held_out.held_out(384).to(self._device)
        figures: dict[str, float] = {}
        if bool(batch.exact.any()):
            figures |= self._evaluate_exact(batch.pick(batch.exact))
        if not bool(batch.exact.all()):
            figures |= self._evaluate_unpaired(batch.pick(~batch.exact))
        return figures

    def _evaluate_exact(self, batch: ExampleBatch) -> dict[str, float]:
        """Measure the v-loss at fixed noise and times, and the gain over copying the target."""
        swap, n = self._swap, len(batch)
        generator = torch.Generator().manual_seed(1)
        error = copied = v_loss = 0.0
        for lo in range(0, n, 64):
            hi = min(n, lo + 64)
            some = batch.pick(slice(lo, hi))
            target, mask = some.target, some.mask
            condition = self._condition(some.source, None)
            clean = latents_to_sample(swap, some.truth, target)
            noise = torch.randn(clean.shape, generator=generator).to(self._device)
            for terminal in (True, False):
                drawn = torch.randint(self._terminal, (hi - lo,), generator=generator)
                drawn = drawn.to(self._device)
                steps = torch.full_like(drawn, self._terminal) if terminal else drawn
                noisy = self._levels.add(clean, noise, steps)
                output = self._predict(noisy, steps, target, condition)
                if terminal:
                    found = self._levels.clean(noisy, output, steps)
                    error += float(((found - clean).square() * mask).sum())
                    copied += float((clean.square() * mask).sum())
                else:
                    wanted = self._levels.velocity(clean, noise, steps)
                    v_loss += float((output - wanted).square().mean()) * (hi - lo) / n
        figures = {"held_out_v_loss": v_loss}
        if copied > 0 and error > 0:  # truths that are their targets leave nothing to gain
            figures["held_out_one_step_gain_db"] = 10.0 * math.log10(copied / error)
        return figures

    def _evaluate_unpaired(self, batch: ExampleBatch) -> dict[str, float]:
        """Measure one-step swaps of pairs without truth, see `unpaired_figures`."""
        generator = torch.Generator().manual_seed(1)
        noise = torch.randn(batch.target.shape, generator=generator).to(self._device)
        steps = torch.full((len(batch),), self._terminal, device=self._device)
        residuals = []
        for lo in range(0, len(batch), 64):
            some = batch.pick(slice(lo, lo + 64))
            condition = self._condition(some.source, None)
            part = slice(lo, lo + 64)
            output = self._predict(noise[part], steps[part], some.target, condition)
            found = self._levels.clean(noise[part], output, steps[part])
            residuals.append(sample_to_latents(self._swap, found, some.target) - some.target)
        residual = torch.cat(residuals)
        swapped = batch.target + residual
        return unpaired_figures(
            residual,
            batch.mask,
            self._identity.cosine(swapped, batch.source),
            self._identity.cosine(swapped, batch.target),
        )
