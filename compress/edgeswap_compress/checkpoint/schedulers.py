"""Make the noise schedule of the default models, and the schedulers that sample."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from diffusers import DDIMScheduler

from edgeswap_compress.errors import InvalidSettings

if TYPE_CHECKING:
    from edgeswap_compress.checkpoint.folder import Checkpoint

SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "lcm": "LCMScheduler",
}
"""Name of a sampler -> diffusers' class."""


def noise_scheduler() -> DDIMScheduler:
    """Make the cosine noise schedule (2102.09672), zero terminal SNR (2305.08891), v-prediction."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


def sampling_scheduler(checkpoint: Checkpoint) -> Any:
    """Make the diffusers scheduler that a checkpoint says it is sampled by.

    Args:
        checkpoint: names sampler and spacing; its scheduler_config.json is handed over complete.

    Raises:
        InvalidSettings: diffusers has no such sampler.
    """
    sampling = checkpoint.swap.sampling
    if sampling.sampler not in SCHEDULERS:
        known = ", ".join(sorted(SCHEDULERS))
        raise InvalidSettings(
            f"sampler {sampling.sampler!r} is not diffusers': expected one of {known}"
        )
    settings = dict(checkpoint.scheduler.config)
    stated = checkpoint.noise_settings
    settings |= {name: value for name, value in stated.items() if not name.startswith("_")}
    if sampling.spacing is not None:
        settings["timestep_spacing"] = sampling.spacing
    kind = getattr(importlib.import_module("diffusers"), SCHEDULERS[sampling.sampler])
    return kind.from_config({k: v for k, v in settings.items() if not k.startswith("_")})
