"""Make a student of few steps from a checkpoint of many: what it predicts, and at which times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.distill._task import Student
from edgeswap_compress.fit.loop import Draw

TRAILING = {
    "timestep_spacing": "trailing",
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "clip_sample": False,
}
"""Settings of a scheduler whose few steps begin at pure noise and end at the clean sample."""

SIZE, FITTED = 8, 48
"""Pairs of a batch, and those that the output layer begins with at each timestep."""

RIDGE = 1e-3


def begins_at_noise(scheduler: Any) -> Any:
    """Copy a DDIM scheduler whose first step is at the last timestep (2305.08891, section 3.3)."""
    return DDIMScheduler.from_config(dict(scheduler.config), **TRAILING)


def as_student(checkpoint: Checkpoint) -> Checkpoint:
    """Give a checkpoint the noise schedule of a few-step student.

    A student does not predict the noise: at the last timestep the sample is what is left of it
    after a division by the signal there, 0.068 with Stable Diffusion's schedule, which magnifies
    every error 15 times. It predicts the velocity instead; `refit_output` teaches the output layer.
    """
    changes: dict[str, Any] = dict(TRAILING)
    settings = dict(checkpoint.scheduler.config)
    if settings["prediction_type"] == "epsilon":
        changes["prediction_type"] = "v_prediction"
    if all(settings.get(name) == value for name, value in changes.items()):
        return checkpoint
    stated = {**checkpoint.noise_settings, **changes, "_class_name": "DDIMScheduler"}
    scheduler = DDIMScheduler.from_config(settings, **changes)
    return replace(checkpoint, scheduler=scheduler, scheduler_config=stated)


def refit_output(task: Student, seed: int) -> None:
    """Fit the last convolution to the velocity by least squares, everything before it as it is.

    The features know what is in the picture; only the output has to say it in another way. With
    that a student of a noise-predicting teacher begins near it, where it would begin at noise.

    Args:
        task: the student and its pairs; the convolution is changed in place.
        seed: of the pairs and the noise.
    """

    def batches() -> Iterator[Tensor]:
        for number, step in enumerate(task.timesteps.tolist() * (FITTED // SIZE)):
            draw = Draw.of(seed, 2**28 + number)
            batch = task.draw(draw, SIZE)
            noise = draw.normal(batch.truth)
            steps = torch.full((SIZE,), int(step), device=noise.device)
            x = task.noised(batch, noise, steps)
            task.student_velocity(batch, x, steps)
            yield task.levels.velocity_to(x, batch.truth, steps)

    refit_convolution(task.module.unet.conv_out, batches())


@torch.no_grad()
def refit_convolution(layer: Any, batches: Iterator[Tensor]) -> None:
    """Fit a convolution by ridge regression to what it should answer, in place.

    Args:
        layer: evaluated once by the iterator before each of its values.
        batches: wanted answers (N, C, H, W) of that evaluation.
    """
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    gram: Any = 0.0
    right: Any = 0.0
    try:
        for wanted in batches:
            rows = _patches(seen.pop(), layer)
            gram = gram + rows.T @ rows
            right = right + rows.T @ wanted.double().movedim(1, -1).flatten(0, 2)
    finally:
        handle.remove()
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    solution = torch.linalg.solve(gram, right).T.to(layer.weight)  # (C, k k C' + 1)
    layer.weight.copy_(solution[:, :-1].reshape(layer.weight.shape))
    layer.bias.copy_(solution[:, -1])


def _patches(maps: Tensor, layer: Any) -> Tensor:
    """List what a convolution sees at each place, and a 1 for its bias: (N H W, k k C + 1)."""
    seen = torch.nn.functional.unfold(maps.float(), layer.kernel_size, padding=layer.padding)
    rows = seen.double().movedim(1, -1).flatten(0, 1)
    return torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
