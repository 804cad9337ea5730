"""Make calibration samples: pairs of pictures for a checkpoint, noise for a bare U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress._pruning_errors import BadUNetFolder, UnsupportedModel
from edgeswap_compress.checkpoint.conditioner import SwapConditioner
from edgeswap_compress.checkpoint.latents import encode_crop, latents_to_sample
from edgeswap_compress.checkpoint.pictures import pictures_of
from edgeswap_compress.checkpoint.target_maps import target_maps
from edgeswap_compress.diffusers_folder.config import SCHEDULER_RULES, config_problem
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs, timestep_dtype
from edgeswap_compress.diffusers_folder.unet_home import read_object
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.config import MASK_WEIGHT
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.losses import face_weights
from edgeswap_compress.fit.machine.placement import like_module
from edgeswap_compress.fit.material.pairs import pixels_at
from edgeswap_compress.fit.noise_levels import PREDICTIONS
from edgeswap_compress.fit.pairing import pairing_of
from edgeswap_compress.prune._calibration import CalibrationBatch, CalibrationSamples

if TYPE_CHECKING:
    from edgeswap_compress.checkpoint.folder import Checkpoint
    from edgeswap_compress.data import Pictures

BATCH_SIZE = 8


@torch.no_grad()
def swap_samples(
    checkpoint: Checkpoint, pictures: Pictures, *, samples: int, seed: int
) -> CalibrationSamples:
    """Draw random pairs of pictures whose truth is known: of photographs, two of one person.

    Args:
        checkpoint: in float32; its autoencoder and conditioner prepare the inputs.
        pictures: of the checkpoint's resolution.
        samples: how many, rounded up to whole batches of 8.
        seed: of the pairs and the noise.

    Raises:
        InvalidSettings: the pictures have another size.
    """
    found, wanted = pictures.images(0).shape[1], checkpoint.swap.resolution_px
    if found != wanted:
        raise InvalidSettings(
            f"the dataset's crops are {found} px, the checkpoint's {wanted} px: expected the same; "
            f"render with --size {wanted}"
        )
    draws = (Draw.of(seed, number) for number in range(-(-samples // BATCH_SIZE)))
    return CalibrationSamples(
        batches=tuple(_swap_batch(checkpoint, pictures, draw) for draw in draws),
        alphas=checkpoint.scheduler.alphas_cumprod.float(),
        prediction=_prediction(checkpoint.scheduler.config.prediction_type),
        origin="data",
    )


def _swap_batch(checkpoint: Checkpoint, pictures: Pictures, draw: Draw) -> CalibrationBatch:
    swap = checkpoint.swap
    places = pairing_of(pictures, self_share=1.0).draw(draw.rng, len(pictures), BATCH_SIZE)
    read = [pixels_at(pictures, x) for x in (places.target, places.truth, places.source)]
    target, truth, source = (like_module(checkpoint.vae, to_tensor(crops)) for crops, _ in read)
    conditioner = SwapConditioner.of(checkpoint)
    seen = pictures_of(swap, conditioner.crops, target, source, {})
    hint = None if swap.controlnet is None else seen[swap.controlnet.picture]
    maps, condition = target_maps(checkpoint.vae, swap, target, hint), conditioner.condition(seen)
    latents = encode_crop(checkpoint.vae, swap, truth)
    clean = latents if maps.latents is None else latents_to_sample(swap, latents, maps.latents)
    inside = torch.from_numpy(np.maximum(read[0][1], read[1][1])).float()[:, None] / 255
    size = (swap.latent_size, swap.latent_size)
    weights = face_weights(F.interpolate(inside, size=size, mode="area"), MASK_WEIGHT)
    return CalibrationBatch(
        clean=clean,
        noise=draw.normal(clean),
        given=partial(checkpoint.denoiser().inputs, target=maps, condition=condition),
        weights=(weights / weights.mean()).to(clean.device),
    )


def noise_samples(
    config: Mapping[str, Any],
    *,
    tokens: int,
    samples: int,
    seed: int,
    scheduler: Any = None,
) -> CalibrationSamples:
    """Draw seeded standard normal samples and conditions, where there is no data.

    A U-Net sees at every timestep what it would see of a sample that is pure noise. This ranks
    channels by what the network does to its inputs in general, not by what it does to pictures.

    Args:
        config: of the U-Net.
        tokens: length of the cross-attention sequence.
        samples: how many, rounded up to whole batches of 2.
        seed: of the numbers.
        scheduler: with `alphas_cumprod` and a `prediction_type`; the linear schedule of DDPM
            (2006.11239), which predicts the noise, when None.
    """
    learned = timestep_dtype(config) is torch.int64
    rows = config.get("num_train_timesteps") if learned else None
    scheduler = scheduler or DDPMScheduler(num_train_timesteps=rows or 1000)
    if rows is not None and len(scheduler.alphas_cumprod) > rows:
        raise UnsupportedModel(
            f"the U-Net's learned embedding has {rows} timesteps, its scheduler "
            f"{len(scheduler.alphas_cumprod)}: expected no more than num_train_timesteps"
        )
    channels = min(config["in_channels"], config["out_channels"])
    made, size = [], 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(-(-samples // size)):
            inputs = example_inputs(config, tokens=tokens, batch=size, device="cpu")
            sample = inputs.pop("sample")
            del inputs["timestep"]
            clean, beside = sample[:, :channels], sample[:, channels:]
            made.append(
                CalibrationBatch(
                    clean=clean,
                    noise=torch.randn_like(clean),
                    given=partial(_with_beside, beside, inputs),
                    weights=torch.ones(size, 1, *clean.shape[2:]),
                )
            )
    return CalibrationSamples(
        batches=tuple(made),
        alphas=scheduler.alphas_cumprod.float(),
        prediction=_prediction(scheduler.config.prediction_type),
        origin="noise",
        timestep_dtype=timestep_dtype(config),
    )


def _with_beside(
    beside: Tensor, conditions: Mapping[str, Any], sample: Tensor, timestep: Tensor
) -> dict[str, Any]:
    """Put the channels beside the noised sample, and the conditions, to it."""
    return {"sample": torch.cat([sample, beside], 1), "timestep": timestep, **conditions}


def pipeline_scheduler(folder: Path) -> Any:
    """Read the noise schedule of a diffusers pipeline; None where a folder states none."""
    for home in (folder, folder.parent):
        file = home / "scheduler" / "scheduler_config.json"
        if file.is_file():
            stated = read_object(file)
            if (problem := config_problem(stated, SCHEDULER_RULES)) is not None:
                raise BadUNetFolder(file, problem, "correct it, or copy the folder again")
            known = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule",
                     "trained_betas", "prediction_type", "rescale_betas_zero_snr")  # fmt: skip
            return DDPMScheduler(**{key: stated[key] for key in known if key in stated})
    return None


def _prediction(kind: str) -> Any:
    if kind not in PREDICTIONS:
        raise UnsupportedModel(
            f"prediction type {kind!r} is not supported: expected one of {', '.join(PREDICTIONS)}"
        )
    return kind
