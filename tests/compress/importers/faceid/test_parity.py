"""Every way of sampling an imported adapter is diffusers' own, step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from edgeswap_compress.checkpoint.schedulers import SCHEDULERS
from edgeswap_compress.importers.base.parity import ALLOWED, compare
from edgeswap_compress.importers.base.prompt_request import PromptRequest
from edgeswap_compress.importers.base.settings import (
    SAMPLERS,
    CropSettings,
    ImportSettings,
    Licenses,
    SamplingSettings,
)
from edgeswap_compress.importers.errors import NotReproduced
from edgeswap_compress.importers.faceid.build import assemble
from edgeswap_compress.importers.faceid.proof import prove_adapter
from edgeswap_compress.importers.faceid.request import (
    AdapterRequest,
    ControlRequest,
    FaceEncoders,
    LoraFile,
)
from edgeswap_compress.importers.tiny.adapters import tiny_adapter, tiny_lora
from edgeswap_compress.importers.tiny.backbones import tiny_base, tiny_controlnet, tiny_prompt

pytestmark = pytest.mark.filterwarnings("ignore")  # diffusers' own, of versions to come

Make = Callable[..., AdapterRequest]
SIZE = 64


@pytest.fixture
def make(given: Path, tmp_path: Path) -> Make:
    """Make the request of an import of tiny files."""

    def made(base: str = "sd4", kind: str = "faceid", **changes: Any) -> AdapterRequest:
        folder = changes.pop("folder", given / base)
        unet = UNet2DConditionModel.from_pretrained(folder / "unet")
        tokens = 16 if kind == "instantid" else 4
        adapter = tiny_adapter(
            tmp_path / "adapter.bin", unet, kind, tokens=tokens, lora_rank=changes.pop("rank", 0)
        )
        sees = {
            "recognizer": kind in ("faceid", "faceid_plus", "instantid"),
            "image_encoder": kind in ("faceid_plus", "plus_face"),
        }
        files = {k: given / f"{k}.onnx" for k, needed in sees.items() if needed}
        names = ("sampler", "spacing", "steps", "guidance_scale", "strength", "blend", "start")
        sampling = {name: changes.pop(name) for name in names if name in changes}
        embeds = changes.pop("embeds", given / base / "prompt.safetensors")
        return AdapterRequest(
            base=folder,
            adapter=adapter,
            encoders=FaceEncoders(**files, normalize=kind != "instantid"),
            prompt=PromptRequest(embeds=embeds),
            settings=ImportSettings(
                crop=CropSettings(size_px=SIZE),
                sampling=SamplingSettings(**{"steps": 4, **sampling}),
                licenses=Licenses({"": "CC0-1.0"}, {"": "made here"}),
            ),
            **changes,
        )

    return made


def difference(request: AdapterRequest, tmp_path: Path) -> float:
    return prove_adapter(request, assemble(request, tmp_path / "out", tmp_path))


def test_the_samplers_are_those_that_diffusers_has() -> None:
    assert sorted(SCHEDULERS) == sorted(SAMPLERS)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_and_spacing(make: Make, tmp_path: Path, sampler: str, spacing: str) -> None:
    request = make("sd9", sampler=sampler, spacing=spacing, guidance_scale=3.0)
    assert difference(request, tmp_path) <= ALLOWED


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("blend", ["none", "latents"])
@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_starts_and_blends(
    make: Make, tmp_path: Path, sampler: str, blend: str, strength: float, guidance: float
) -> None:
    request = make(
        sampler=sampler, steps=5, blend=blend, strength=strength, guidance_scale=guidance
    )
    assert difference(request, tmp_path) <= ALLOWED


@pytest.mark.parametrize("sampler", ["euler", "lcm", "ddpm"])
def test_starts_and_blends_of_samplers_with_noise_of_their_own(
    make: Make, tmp_path: Path, sampler: str
) -> None:
    request = make(sampler=sampler, steps=5, blend="latents", strength=0.6, guidance_scale=2.0)
    assert difference(request, tmp_path) <= ALLOWED


@pytest.mark.parametrize("kind", ["faceid", "faceid_plus", "plus_face"])
@pytest.mark.parametrize("base", ["sd4", "sd9", "xl"])
def test_every_adapter_on_every_base(make: Make, tmp_path: Path, base: str, kind: str) -> None:
    request = make(base, kind, guidance_scale=3.0, steps=2)
    assert difference(request, tmp_path) <= ALLOWED


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("blend", ["none", "latents"])
@pytest.mark.parametrize("tokens", ["own", "same"])
def test_instantid(
    make: Make, given: Path, tmp_path: Path, tokens: str, blend: str, strength: float
) -> None:
    net = tiny_controlnet(tmp_path / "net", given / "xl")
    request = make(
        "xl", "instantid", steps=5, strength=strength, blend=blend, guidance_scale=3.0,
        control=ControlRequest(path=net, scale=0.7, tokens=tokens),
    )  # fmt: skip
    assert difference(request, tmp_path) <= ALLOWED


def test_loras_inside_the_adapter_and_beside_it(make: Make, given: Path, tmp_path: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(given / "sd4" / "unet")
    files = [
        LoraFile(tiny_lora(tmp_path / f"{form}.safetensors", unet, form=form, seed=seed), scale)
        for form, seed, scale in (("kohya", 1, 0.6), ("peft", 2, 1.0))
    ]
    request = make(rank=4, loras=tuple(files), sampler="lcm", guidance_scale=1.5)
    assert difference(request, tmp_path) <= ALLOWED


def test_a_v_predicting_base_with_matrices_for_projections(
    make: Make, given: Path, tmp_path: Path
) -> None:
    """Stable Diffusion 2's form."""
    base = tiny_base(tmp_path / "sd2", use_linear_projection=True, prediction_type="v_prediction")
    request = make(
        folder=base, embeds=tiny_prompt(tmp_path), guidance_scale=3.0, sampler="dpmpp_2m"
    )
    assert difference(request, tmp_path) <= ALLOWED


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: setattr(made.checkpoint, "unet", other(made.checkpoint.unet)),
        lambda made: made.checkpoint.parts["conditions/adapter"].norm_out.bias.data.add_(0.01),
        lambda made: made.checkpoint.parts["conditions/prompt.safetensors"].update(
            tokens=made.prompt.tokens + 0.01
        ),
        lambda made: made.checkpoint.scheduler_config.update(beta_end=0.0121),
    ],
)
def test_a_small_difference_is_refused(make: Make, tmp_path: Path, spoil: Any) -> None:
    request = make("sd4", "plus_face", guidance_scale=3.0)
    made = assemble(request, tmp_path / "out", tmp_path)
    assert prove_adapter(request, made) <= ALLOWED
    spoil(made)
    with pytest.raises(NotReproduced, match="nothing was written"):
        prove_adapter(request, made)


def other(unet: Any) -> Any:
    for processor in unet.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [0.79]
    return unet


def test_latents_that_are_no_numbers_are_refused() -> None:
    one = torch.ones(1, 4, 2, 2) * torch.arange(4.0).view(1, 4, 1, 1)
    assert compare([one], [one]) == 0
    with pytest.raises(NotReproduced, match="step 1"):
        compare([one * float("nan")], [one])
    with pytest.raises(NotReproduced, match="step 2"):
        compare([one], [one, one])
