"""Optimizers on float32 master weights for modules that compute in bfloat16, with an EMA."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from edgeswap_compress.errors import TrainingStopped
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.machine.loss_scale import LossScale

_MOMENTS = ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")


class MasterOptimizer:
    """Holds master weights, moments and EMA of a module; the module itself may be bfloat16.

    Small updates vanish when added to bfloat16 weights (2 significant digits), so they are added
    to float32 copies, which are then rounded into the module (mixed precision, 1710.03740).

    With ``config.optimizer`` "muon" the matrices and convolutions (as matrices, outputs x rest) go
    to Muon, whose update is the orthogonalised momentum (Jordan et al. 2024; scaled to AdamW's
    size, 2502.16982), and vectors stay with AdamW (1711.05101), as in "adamw" everything does.
    """

    def __init__(self, module: nn.Module, config: FitConfig) -> None:
        self.config = config
        self._buffers = dict(module.named_buffers())
        self.names = [name for name, p in module.named_parameters() if p.requires_grad]
        self.live: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
        self.master = [p.detach().float().clone() for p in self.live]
        self.ema = [p.clone() for p in self.master]
        kinds = [config.optimizer if _is_matrix(p) else "adamw" for p in self.master]
        # what the optimizers see: Muon a matrix that shares the master's memory
        self._views = [
            _as_matrix(p, p) if kind == "muon" else p
            for p, kind in zip(self.master, kinds, strict=True)
        ]
        self._optimizers = {kind: self._optimizer(kind, kinds) for kind in sorted(set(kinds))}
        self._owners = [self._optimizers[kind] for kind in kinds]

    def _optimizer(self, kind: str, kinds: list[str]) -> torch.optim.Optimizer:
        views = [view for view, own in zip(self._views, kinds, strict=True) if own == kind]
        rate, decay = self.config.learning_rate, self.config.weight_decay
        if kind == "muon":
            return torch.optim.Muon(views, rate, decay, adjust_lr_fn="match_rms_adamw")
        return torch.optim.AdamW(views, rate, self.config.betas, weight_decay=decay)

    def learning_rate(self, step: int) -> float:
        """Give the learning rate of a step: warm-up, hold, then a cosine to zero."""
        config, done = self.config, step / self.config.steps
        warm = min(1.0, (step + 1) / config.warmup_steps)
        fall = max(0.0, (done - config.hold) / (1.0 - config.hold))
        return config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * fall)) + 1e-6

    @torch.no_grad()
    def step(
        self,
        step: int,
        average: Callable[[list[Tensor]], None] | None = None,
        scale: LossScale | None = None,
    ) -> float:
        """Update the weights once from the gradients in the module; return the gradients' norm.

        Args:
            step: of the schedule.
            average: replaces the float32 gradients by their means over several processes.
            scale: of the loss that the gradients are of; where they are not finite because of it,
                the weights stay as they are and it is halved.

        Raises:
            TrainingStopped: the gradients are not finite.
        """
        for view, master, live in zip(self._views, self.master, self.live, strict=True):
            grad = None if live.grad is None else live.grad.float()
            view.grad = grad if grad is None or view is master else _as_matrix(grad, master)
            live.grad = None
        if average is not None:
            average([view.grad for view in self._views if view.grad is not None])
        scale = scale or LossScale(scales=False)
        if scale.scales:
            torch._foreach_div_([v.grad for v in self._views if v.grad is not None], scale.value)
        norm = float(torch.nn.utils.clip_grad_norm_(self._views, self.config.clip_norm))
        if not math.isfinite(norm):
            if scale.overflowed():
                return norm
            raise TrainingStopped(
                f"gradient of step {step} is {norm}: expected a finite norm; lower the learning "
                "rate and continue from the last saved state"
            )
        scale.went_well()
        for optimizer in self._optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate(step)
            optimizer.step()
        torch._foreach_copy_(self.live, self.master)
        decay = min(self.config.ema_decay, (step + 1) / (step + 20))
        torch._foreach_lerp_(self.ema, self.master, 1.0 - decay)
        return norm

    @torch.no_grad()
    def use(self, which: list[Tensor]) -> None:
        """Copy ``self.ema`` or ``self.master`` into the module."""
        torch._foreach_copy_(self.live, which)

    def tensors(self) -> dict[str, Tensor]:
        """Give everything that is needed to continue, by name."""
        state = {f"buffer.{name}": tensor for name, tensor in self._buffers.items()}
        for i, name in enumerate(self.names):
            state[f"master.{name}"] = self.master[i].detach()
            state[f"ema.{name}"] = self.ema[i]
            for key, value in self._owners[i].state[self._views[i]].items():
                state[f"{key}.{name}"] = value
        return state

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from what ``tensors`` gave."""
        for name, tensor in self._buffers.items():
            tensor.copy_(state[f"buffer.{name}"])
        for i, name in enumerate(self.names):
            self.master[i].copy_(state[f"master.{name}"])
            self.ema[i].copy_(state[f"ema.{name}"])
            self._owners[i].state[self._views[i]] = {
                # AdamW counts its steps on the processor
                key: state[f"{key}.{name}"].to("cpu" if key == "step" else self.master[i].device)
                for key in _MOMENTS
                if f"{key}.{name}" in state
            }
        self.use(self.master)


def _is_matrix(parameter: Tensor) -> bool:
    """Tell whether a parameter maps many numbers to many: 64 or more each way."""
    rows = parameter.shape[0] if parameter.ndim >= 2 else 0
    return rows >= 64 and parameter.numel() // rows >= 64


def _as_matrix(tensor: Tensor, master: Tensor) -> Tensor:
    """View a tensor as (outputs, rest) in its master's order of memory."""
    ordered = tensor if master.is_contiguous() else tensor.movedim(1, -1)
    return ordered.reshape(len(tensor), -1)
