"""Make the noise schedule of the default models."""

from __future__ import annotations

from diffusers import DDIMScheduler


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
