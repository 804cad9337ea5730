"""AdamW on float32 master weights for modules that compute in bfloat16, with an EMA."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgeswap_compress._errors import TrainingStopped
from edgeswap_compress.train._config import FitConfig


class MasterAdamW:
    """Holds master weights, moments and EMA of a module; the module itself may be bfloat16.

    Small updates vanish when added to bfloat16 weights (2 significant digits), so they are added
    to float32 copies, which are then rounded into the module (mixed precision, 1710.03740).
    """

    def __init__(self, module: nn.Module, config: FitConfig) -> None:
        self.config = config
        self.names = [name for name, p in module.named_parameters() if p.requires_grad]
        self.live: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
        self.master = [p.detach().float().clone() for p in self.live]
        self.ema = [p.clone() for p in self.master]
        self.adamw = torch.optim.AdamW(
            self.master, config.learning_rate, config.betas, weight_decay=config.weight_decay
        )

    def learning_rate(self, step: int) -> float:
        """Warm-up, hold, cosine to zero."""
        config, done = self.config, step / self.config.steps
        warm = min(1.0, (step + 1) / config.warmup_steps)
        fall = max(0.0, (done - config.hold) / (1.0 - config.hold))
        return config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * fall)) + 1e-6

    @torch.no_grad()
    def step(self, step: int) -> float:
        """One update from the gradients in the module; returns their norm.

        Raises:
            TrainingStopped: the gradients are not finite.
        """
        for master, live in zip(self.master, self.live, strict=True):
            grad = live.grad
            master.grad = torch.zeros_like(master) if grad is None else grad.float()
            live.grad = None
        norm = float(torch.nn.utils.clip_grad_norm_(self.master, self.config.clip_norm))
        if not math.isfinite(norm):
            raise TrainingStopped(
                f"gradient of step {step} is {norm}: expected a finite norm; lower the learning "
                "rate and continue from the last saved state"
            )
        for group in self.adamw.param_groups:
            group["lr"] = self.learning_rate(step)
        self.adamw.step()
        torch._foreach_copy_(self.live, self.master)
        decay = min(self.config.ema_decay, (step + 1) / (step + 20))
        torch._foreach_lerp_(self.ema, self.master, 1.0 - decay)
        return norm

    @torch.no_grad()
    def use(self, which: list[Tensor]) -> None:
        """Copy ``self.ema`` or ``self.master`` into the module."""
        torch._foreach_copy_(self.live, which)

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to go on, by name."""
        state: dict[str, Tensor] = {}
        for i, name in enumerate(self.names):
            state[f"master.{name}"] = self.master[i].detach()
            state[f"ema.{name}"] = self.ema[i]
            for key, value in self.adamw.state[self.master[i]].items():
                state[f"{key}.{name}"] = value
        return state

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Inverse of ``tensors``."""
        for i, name in enumerate(self.names):
            self.master[i].copy_(state[f"master.{name}"])
            self.ema[i].copy_(state[f"ema.{name}"])
            self.adamw.state[self.master[i]] = {
                key: state[f"{key}.{name}"].clone() for key in ("step", "exp_avg", "exp_avg_sq")
            }
        self.use(self.master)
