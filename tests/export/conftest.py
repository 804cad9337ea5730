"""Fixtures of the export tests: tiny seeded models, nothing from outside."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def scheduler_config() -> dict[str, Any]:
    """The default model's scheduler: cosine betas, v-prediction, zero terminal SNR, trailing."""
    return {
        "num_train_timesteps": 1000,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "clip_sample": False,
    }
