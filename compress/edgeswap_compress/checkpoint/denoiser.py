"""Evaluate the U-Net: the one place where its inputs are put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.conditioning.condition import SOURCE_LATENTS, Condition
from edgeswap_compress.conditioning.decoupled import adapter_input
from edgeswap_compress.errors import InvalidCheckpoint


@dataclass(frozen=True, slots=True)
class SwapDenoiser:
    """A U-Net, with its ControlNet where it has one, and what its inputs are.

    Attributes:
        unet: of a checkpoint, or in its place.
        swap: the checkpoint's swap config.
        controlnet: of the checkpoint; None where it has none.

    Raises:
        InvalidCheckpoint: on construction, where the config states a ControlNet and there is none.
    """

    unet: Any
    swap: SwapConfig
    controlnet: Any = None

    def __post_init__(self) -> None:
        if (self.swap.controlnet is None) != (self.controlnet is None):
            expected = "none" if self.swap.controlnet is None else "the one that swap.json states"
            found = "none" if self.controlnet is None else "one"
            raise InvalidCheckpoint("ControlNet", expected=expected, found=found)

    def inputs(
        self, sample: Tensor, timestep: Tensor, target: TargetMaps, condition: Condition
    ) -> dict[str, Any]:
        """Make the keyword arguments of the U-Net for one evaluation, see `predict`."""
        given: dict[str, Any] = {
            "sample": torch.cat(self._groups(sample, target, condition), dim=1),
            "timestep": timestep,
            **unet_conditions(condition),
        }
        if self.controlnet is not None:
            given |= self._residuals(sample, timestep, target, condition)
        return given

    def predict(
        self, sample: Tensor, timestep: Tensor, target: TargetMaps, condition: Condition
    ) -> Tensor:
        """Evaluate the U-Net once.

        Args:
            sample: (N, C, S, S) noised sample x_t.
            timestep: (N,) or scalar, in [0, num_train_timesteps).
            target: what is seen of the targets, batch N.
            condition: batch N.

        Returns:
            (N, C, S, S) in the scheduler's prediction type.
        """
        given = self.inputs(sample, timestep, target, condition)
        inputs, steps = given.pop("sample"), given.pop("timestep")
        output: Tensor = self.unet(inputs, steps, **given, return_dict=False)[0]
        return output

    def guided(
        self,
        sample: Tensor,
        timestep: Tensor,
        target: TargetMaps,
        condition: Condition,
        null: Condition,
        guidance_scale: float | Tensor,
    ) -> Tensor:
        """Evaluate with classifier-free guidance u + g (c - u) (2207.12598, eq. 6, diffusers' g).

        One evaluation where ``guidance_scale`` is the number 1.0, else two in one batch. Shapes as
        ``predict``; ``guidance_scale`` may be a tensor of shape (1,), which always costs two.
        ``null`` is the condition without a source.
        """
        if not isinstance(guidance_scale, Tensor) and guidance_scale == 1.0:
            return self.predict(sample, timestep, target, condition)
        both = null.to(sample.dtype).stacked(condition)
        steps = timestep.reshape(-1).expand(sample.shape[0]).repeat(2)
        output = self.predict(torch.cat([sample, sample]), steps, target.twice(), both)
        count = sample.shape[0]  # chunk(2) would fix a batch that an export leaves free
        unconditional, conditional = output[:count], output[count:]
        return unconditional + guidance_scale * (conditional - unconditional)

    def _groups(self, sample: Tensor, target: TargetMaps, condition: Condition) -> list[Tensor]:
        """List the U-Net's input groups, in order."""
        groups = []
        for group in self.swap.inputs:
            value: Tensor | None = {
                "noise": sample,
                "target": target.latents,
                "masked_target": target.masked_latents,
                "mask": target.mask,
                "source": condition.maps.get(SOURCE_LATENTS),
            }[group.role]
            if value is None:
                raise InvalidCheckpoint(
                    f"swap.json: inputs: {group.role}", expected="something that gives it",
                    found="nothing that does",
                )  # fmt: skip
            groups.append(1.0 - value if group.one_is == "keep" else value)
        return groups

    def _residuals(
        self, sample: Tensor, timestep: Tensor, target: TargetMaps, condition: Condition
    ) -> dict[str, Any]:
        """Evaluate the ControlNet: what it adds to the U-Net's skips and middle."""
        spec = self.swap.controlnet
        assert spec is not None  # noqa: S101 checked on construction
        own = spec.tokens == "own"
        down, middle = self.controlnet(
            sample,
            timestep,
            encoder_hidden_states=condition.adapter_tokens if own else condition.tokens,
            controlnet_cond=target.hint,
            conditioning_scale=spec.scale,
            added_cond_kwargs=dict(condition.added) or None,
            return_dict=False,
        )
        return {
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }


def unet_conditions(condition: Condition) -> Mapping[str, Any]:
    """Name a condition's parts as diffusers' U-Nets do."""
    tokens: Any = condition.tokens
    if condition.adapter_tokens is not None:
        assert condition.tokens is not None  # noqa: S101 an adapter stands beside tokens
        tokens = adapter_input(condition.tokens, condition.adapter_tokens)
    added = {"added_cond_kwargs": dict(condition.added)} if condition.added else {}
    return {"encoder_hidden_states": tokens, "class_labels": condition.vector, **added}
