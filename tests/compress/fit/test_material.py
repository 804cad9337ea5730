"""What a model sees of a folder: computed once, kept on disk, and the pipeline's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeswap_compress.checkpoint._tiny_kinds import KINDS, tiny_kind
from edgeswap_compress.checkpoint.conditioner import SwapConditioner
from edgeswap_compress.checkpoint.pictures import pictures_of
from edgeswap_compress.checkpoint.target_maps import target_maps
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.conditioning.onnx_features import OnnxFeatures
from edgeswap_compress.data import open_pictures
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_compress.fit.material.encode import encode_pictures
from edgeswap_compress.fit.material.pairs import pixels_at
from edgeswap_compress.fit.material.sight import Sight
from edgeswap_compress.fit.pairing import Places


def silent(name: str) -> Any:
    return None


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_is_what_the_pipeline_looks_at(
    kind: str, people: Path, tmp_path: Path
) -> None:
    """Features, projections, masked latents, masks and hints, also of mirrored pictures."""
    model, pictures = tiny_kind(kind, tmp_path / "files"), open_pictures(people)
    seen = encode_pictures(model, pictures, tmp_path / "a.safetensors", flips=True, report=silent)
    target, source = np.array([1, 12 + 4, 7]), np.array([0, 12 + 5, 9])
    places, sight = Places(source, target, target, np.ones(3, bool)), Sight(model)
    crops = [to_tensor(pixels_at(pictures, x)[0]) for x in (target, source)]
    conditioner = SwapConditioner.of(model)
    shown = pictures_of(model.swap, conditioner.crops, *crops, {})
    hint = None if model.swap.controlnet is None else shown[model.swap.controlnet.picture]
    wanted = target_maps(model.vae, model.swap, crops[0], hint)
    maps = sight.maps(seen.latents.at(target), places, seen.features)
    for name in ("masked_latents", "mask", "hint"):
        one, other = getattr(maps, name), getattr(wanted, name)
        assert (one is None) == (other is None), name
        assert one is None or torch.allclose(one, other, atol=2e-3), name
    found = sight.condition(seen.latents.at(source), places, seen.features).named()
    exact = conditioner.condition(shown).named()
    assert found.keys() == exact.keys()
    for name, value in exact.items():  # features are kept as float16
        assert torch.allclose(found[name], value.expand_as(found[name]), atol=5e-3), name
    nulls = zip(sight.null(3).named().values(), conditioner.null(3).named().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in nulls)


class Counted(OnnxFeatures):
    """Counts the pictures that recognizers are asked about."""

    asked = 0

    def __call__(self, feature: Any, crops: torch.Tensor) -> torch.Tensor:
        Counted.asked += len(crops)
        return super().__call__(feature, crops)


def test_a_second_run_reads_both_caches_and_another_key_reads_none(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import edgeswap_compress.checkpoint.conditioner as conditioners

    monkeypatch.setattr(conditioners, "OnnxFeatures", Counted)
    monkeypatch.setattr(Counted, "asked", 0)
    encoded: list[int] = []
    model, pictures = tiny_kind("faceid", tmp_path / "files"), open_pictures(people)
    model.vae.encoder.register_forward_hook(lambda *given: encoded.append(len(given[1][0])))

    def encode(**changes: Any) -> Any:
        return encode_pictures(
            model, pictures, tmp_path / "latents.safetensors", flips=False, report=silent, **changes
        )

    first = encode()
    assert (sum(encoded), Counted.asked) == (2 * 12, 12)  # whole and masked crops
    again = encode()
    assert (sum(encoded), Counted.asked) == (2 * 12, 12)
    assert torch.equal(first.latents.latents, again.latents.latents)
    assert torch.equal(first.latents.masks, again.latents.masks)
    assert first.features.keys() == again.features.keys() == {"projection.0", "masked_target"}
    assert all(torch.equal(value, again.features[name]) for name, value in first.features.items())
    encode(key="another model's")
    assert (sum(encoded), Counted.asked) == (4 * 12, 24)


def test_a_model_without_features_keeps_latents_alone(people: Path, tmp_path: Path) -> None:
    model = replace(tiny_kind("img2img", tmp_path / "files"), parts={})
    swap = replace(tiny_checkpoint().swap, latents=model.swap.latents, crops=model.swap.crops)
    own = replace(model, swap=swap, conditioner=tiny_checkpoint().conditioner)
    seen = encode_pictures(
        own, open_pictures(people), tmp_path / "b.safetensors", flips=True, report=silent
    )
    assert seen.features == {} and seen.latents.latents.shape == (24, 1, 4, 8, 8)
    assert [file.name for file in tmp_path.glob("*.safetensors")] == ["b.safetensors"]
