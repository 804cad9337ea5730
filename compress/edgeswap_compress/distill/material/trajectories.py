"""Trajectories of the teacher: DDIM from noise to sample, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import sample_to_latents
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.conditioning.condition import Condition
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.machine.placement import like_module
from edgeswap_compress.fit.material.pairs import Answers, Drawn, PairSet, taken
from edgeswap_compress.fit.material.sight import Sight
from edgeswap_compress.fit.noise_levels import CLEAN, NoiseLevels, timesteps_of
from edgeswap_compress.fit.sampling import LatentSampler
from edgeswap_runtime.files import write_bytes

Progress = Callable[[int, int, str], None]
PART = 64
"""Trajectories in a file."""

CHUNK = 16
"""Trajectories that are sampled at once: a report follows each of their steps."""


@dataclass(frozen=True, slots=True)
class Trajectories:
    """States of the teacher's sampling where the student will be asked, and where they led.

    Attributes:
        states: (M, steps, C, S, S) x_t at the student's timesteps, float32.
        results: (M, C, S, S) the teacher's final samples, float32.
        timesteps: (steps,) the student's timesteps, descending.
    """

    states: Tensor
    results: Tensor
    timesteps: Tensor


def trajectory_pairs(pairs: PairSet, config: DistillConfig) -> Drawn:
    """Draw the pairs that the trajectories belong to, in order."""
    return pairs.unanswered(Draw.of(config.fit.seed, 2**31).rng, config.teacher.targets)


def answers_of(
    teacher: Checkpoint, pairs: PairSet, config: DistillConfig, found: Trajectories
) -> Answers:
    """Take where trajectories led as the truths of their pairs, in normalized latents."""
    places = trajectory_pairs(pairs, config).places
    target = pairs.known.at(places.target)
    return Answers(places, sample_to_latents(teacher.swap, found.results, target).half())


@torch.no_grad()
def teacher_trajectories(
    teacher: Checkpoint,
    pairs: PairSet,
    config: DistillConfig,
    folder: Path,
    key: str,
    progress: Progress | None = None,
) -> Trajectories:
    """Sample the teacher (2101.02388's targets), going on where an earlier run stopped.

    Args:
        teacher: in its compute dtype.
        pairs: to answer.
        config: number of trajectories and steps.
        folder: cache, one file a part of 64 trajectories.
        key: hash of teacher, data and settings; parts with another key are computed again.
        progress: told of evaluations done and in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn, sight = trajectory_pairs(pairs, config), Sight(teacher)
    each = len(teacher_sampler(teacher, config).timesteps)
    states, results = [], []
    for start in range(0, config.teacher.targets, PART):
        part = slice(start, min(config.teacher.targets, start + PART))
        file = folder / f"part-{start // PART:05d}.safetensors"
        found = _read(file, key)
        if found is None:
            report = partial(_report_step, progress, start, config, each)
            found = _sample(
                teacher,
                sight,
                pairs,
                taken(drawn, np.arange(part.start, part.stop)),
                part,
                config,
                report,
            )
            write_bytes(file, save(found, {"key": key}))
        states.append(found["states"].float())
        results.append(found["results"].float())
        _report_step(progress, part.stop, config, each, 0)
    steps = student_timesteps(teacher, config)
    return Trajectories(torch.cat(states), torch.cat(results), steps)


def _report_step(
    progress: Progress | None, whole: int, config: DistillConfig, each: int, evaluations: int
) -> None:
    """Report ``whole`` trajectories, of ``each`` evaluations, and some evaluations of others."""
    if progress is not None:
        progress(whole * each + evaluations, config.teacher.targets * each, "teacher trajectories")


def teacher_sampler(teacher: Checkpoint, config: DistillConfig) -> LatentSampler:
    """Make the teacher's sampler, which begins where the student's does."""
    kept = teacher.swap.sampling.start.kept(config.steps) * every(config)
    visited = timesteps_of(teacher.scheduler, config.teacher_steps, kept=kept)
    return LatentSampler.of(teacher.swap, NoiseLevels(teacher.scheduler), visited)


def every(config: DistillConfig) -> int:
    """Count the teacher's steps for one of the student's."""
    return config.teacher_steps // config.steps


def student_timesteps(teacher: Checkpoint, config: DistillConfig) -> Tensor:
    """Give every (teacher_steps / steps)-th timestep of the teacher's trailing schedule."""
    return teacher_sampler(teacher, config).timesteps[:: every(config)].clone()


def _read(file: Path, key: str) -> dict[str, Tensor] | None:
    if not file.exists():
        return None
    with safe_open(file, framework="pt") as opened:
        if opened.metadata().get("key") != key:
            return None
        return {name: opened.get_tensor(name) for name in ("states", "results")}


def _sample(
    teacher: Checkpoint,
    sight: Sight,
    pairs: PairSet,
    drawn: Drawn,
    part: slice,
    config: DistillConfig,
    report: Callable[[int], None],
) -> dict[str, Tensor]:
    """Sample a part's trajectories; ``report`` is told how many evaluations are done."""
    shape = (part.stop - part.start, *pairs.known.latents.shape[2:])
    noise = Draw.of(config.fit.seed + 1, part.start).normal(torch.empty(shape))
    states, results, done = [], [], 0
    for begin in range(0, len(noise), CHUNK):
        x = noise[begin : begin + CHUNK]
        places = taken(drawn, np.arange(begin, begin + len(x))).places
        target, source = (
            like_module(teacher.unet, pairs.known.at(some))
            for some in (places.target, places.source)
        )
        maps = sight.maps(target, places, pairs.features)
        condition = sight.condition(source, places, pairs.features)
        before = done

        def told(evaluations: int, before: int = before) -> None:
            nonlocal done
            done = before + evaluations
            report(done)

        seen = (maps, condition, sight.null(len(x)))
        visited, end = sample_chunk(teacher, seen, x.to(target.device), config, told)
        states.append(visited)
        results.append(end)
    found = {"states": torch.cat(states), "results": torch.cat(results)}
    return {name: value.half().contiguous() for name, value in found.items()}


def sample_chunk(
    teacher: Checkpoint,
    seen: tuple[TargetMaps, Condition, Condition],
    noise: Tensor,
    config: DistillConfig,
    report: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
    """Sample states (N, steps, C, S, S) and results (N, C, S, S) from noise, on the host.

    Args:
        teacher: samples by DDIM, from where it begins and blended as it is.
        seen: the targets' maps, the condition and the null of guidance.
        noise: (N, C, S, S) float32.
        config: of the distillation.
        report: told after each step how many evaluations are done.
    """
    maps, condition, null = seen
    assert maps.latents is not None  # noqa: S101 `Sight` gives them
    dtype, scheduler = next(teacher.unet.parameters()).dtype, teacher.scheduler
    scale = config.teacher.guidance
    scale = teacher.swap.guidance_scale if scale is None else scale
    denoiser, sampler = teacher.denoiser(), teacher_sampler(teacher, config).to(noise.device)
    target = maps.latents.float()
    x, visited, states = sampler.first(target, noise), sampler.timesteps, []
    for i, timestep in enumerate(visited):
        if i % every(config) == 0:
            states.append(x)
        output = denoiser.guided(x.to(dtype), timestep, maps, condition, null, scale)
        x = scheduler.step(output.float(), timestep, x, return_dict=False)[0]
        after = visited[i + 1] if i + 1 < len(visited) else CLEAN
        x = sampler.blended(x, target, noise, torch.full((len(x),), int(after), device=x.device))
        report(len(x) * (i + 1))
    return torch.stack(states, 1).cpu(), x.cpu()
