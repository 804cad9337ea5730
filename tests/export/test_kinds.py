"""Export checkpoints of every kind, and swap with what comes out as the torch pipeline does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeswap_compress.checkpoint import Checkpoint, SwapPipeline
from edgeswap_compress.checkpoint._tiny_kinds import KINDS, tiny_kind
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_export import ExportConfig, GraphsConfig, SchedulesConfig, export
from edgeswap_runtime import Swapper
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.faces.crops import crops_of_aligned
from edgeswap_runtime.faces.crops import to_tensor as tensor_of

ENCODES = {
    "faceid": ["masked_latents", "latent_mask"],
    "img2img": ["target_latents", "latent_mask"],
    "one_token": ["masked_latents", "latent_mask"],
    "instantid": ["target_latents", "latent_mask"],
}


def exported(kind: str, folder: Path, **graphs: Any) -> tuple[Path, Path]:
    checkpoint = tiny_kind(kind, folder / "files").save(folder / "checkpoint")
    config = ExportConfig(
        graphs=GraphsConfig(**graphs), schedules=SchedulesConfig(others=()), detector=False
    )
    return checkpoint, export(checkpoint, config, folder / "bundle")


USUAL = ("one_token", "instantid")
"""Those that the default tests export."""


@pytest.mark.parametrize(
    "kind",
    [kind if kind in USUAL else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_runtime_swaps_as_the_pipeline(kind: str, tmp_path: Path) -> None:
    """Crops of 8 bits in and out: one level, and half of one to round."""
    folder, path = exported(kind, tmp_path)
    manifest = Bundle.open(path).manifest
    assert set(manifest.graphs) == {"encode", "recognizer", "projection", "denoise", "decode"}
    assert [t.name for t in manifest.graphs["encode"].outputs] == ENCODES[kind]
    crops = np.random.default_rng(1).integers(0, 255, (2, 32, 32, 3), dtype=np.uint8)
    noise = np.random.default_rng(2).standard_normal((1, 4, 8, 8)).astype(np.float32)
    with Swapper.open(path, threads=1) as swapper:
        identity = swapper.identity_of_crops([crops[1]])
        found = swapper.swap_crop(crops[0], identity, noise=noise)
    checkpoint = Checkpoint.load(folder)
    target, source = to_tensor(crops[:1]), to_tensor(crops[1:])
    pipeline = SwapPipeline.from_checkpoint(checkpoint)
    # the runtime cuts crops out of pictures of 8 bits, by another filter than torch
    cut = crops_of_aligned(crops[1], manifest.crops, manifest.crops)
    pictures = {
        f"{name}/source": torch.from_numpy(tensor_of(cut.crops[name], spec))
        for name, spec in manifest.crops.items()
    }
    given = torch.from_numpy(noise)
    crop = pipeline(target, source, noise=given, pictures=pictures).crops
    expected = ((crop[0].permute(1, 2, 0).numpy() + 1) * 127.5).clip(0, 255)
    assert np.abs(found.astype(np.float64) - expected).max() <= 0.5 + 127.5 * 5e-5
    assert expected.std() > 3
