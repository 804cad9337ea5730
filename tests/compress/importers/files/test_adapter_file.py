"""Adapter files are read as diffusers reads them, and refused where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from edgeswap_compress.conditioning.decoupled import (
    adapter_input,
    fuse_adapter,
    has_adapter,
    unfuse_adapter,
)
from edgeswap_compress.importers.errors import DoesNotFit, UnreadableWeights
from edgeswap_compress.importers.files.adapter_file import (
    check_backbone,
    low_rank_updates,
    put_adapter,
    read_adapter,
)
from edgeswap_compress.importers.files.lora import fuse_updates
from edgeswap_compress.importers.tiny.adapters import EMBEDDING, FEATURES, tiny_adapter

KINDS = {"plain": 4, "faceid": 4, "faceid_plus": 4, "plus_face": 16, "instantid": 16}


def unet_of(folder: Path) -> Any:
    return UNet2DConditionModel.from_pretrained(folder / "unet").eval()


def theirs(unet: Any, file: Path, *, shortcut: bool) -> Any:
    """The adapter as diffusers loads it."""
    nested = torch.load(file, weights_only=True)
    unet._load_ip_adapter_weights([nested], low_cpu_mem_usage=False)
    layer = unet.encoder_hid_proj.image_projection_layers[0]
    layer.shortcut = shortcut
    return layer


def pictures_of(kind: str) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(0)
    embedding = torch.randn(2, EMBEDDING, generator=random)
    features = torch.randn(2, 16, FEATURES, generator=random)
    if kind == "faceid_plus":
        return embedding, features
    if kind == "plus_face":
        return (features,)
    return (features[:, 0],) if kind == "plain" else (embedding,)


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("base", ["sd4", "xl"])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_an_adapter_computes_what_diffusers_computes(
    given: Path, tmp_path: Path, kind: str, base: str, shortcut: bool
) -> None:
    unet, other = unet_of(given / base), unet_of(given / base)
    file = tiny_adapter(tmp_path / "adapter.bin", unet, kind, tokens=KINDS[kind])
    adapter = read_adapter(file, shortcut=shortcut)
    check_backbone(adapter, unet, what="here")
    seen = pictures_of(kind)
    mine = adapter.projection(*seen)
    layer = theirs(other, file, shortcut=shortcut)
    if kind == "faceid_plus":
        layer.clip_embeds = seen[1][:, None]
    given_to_it = seen[0][:, None] if kind == "instantid" else seen[0]
    assert (mine - layer(given_to_it)).abs().max() < 2e-5
    assert mine.shape == (2, KINDS[kind], unet.config.cross_attention_dim)

    put_adapter(adapter, unet, 0.7)
    for processor in other.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [0.7]
    random = torch.Generator().manual_seed(1)
    sample = torch.randn(2, 4, 8, 8, generator=random)
    text = torch.randn(2, 77, unet.config.cross_attention_dim, generator=random)
    added = {"text_embeds": torch.randn(2, 32, generator=random), "time_ids": torch.ones(2, 6)}
    called = {"added_cond_kwargs": added} if base == "xl" else {}
    answer = unet(sample, 5, encoder_hidden_states=adapter_input(text, mine), **called).sample
    other.encoder_hid_proj = torch.nn.Identity()
    with_tokens = {"image_embeds": [mine[:, None]], **(added if base == "xl" else {})}
    truth = other(sample, 5, encoder_hidden_states=text, added_cond_kwargs=with_tokens).sample
    assert (answer - truth).abs().max() < 1e-5
    plain = unet_of(given / base)(sample, 5, encoder_hidden_states=text, **called).sample
    assert (answer - plain).abs().max() > 1e-2
    unfuse_adapter(unet)
    traced = unet(sample, 5, encoder_hidden_states=adapter_input(text, mine), **called).sample
    assert has_adapter(unet) and (traced - truth).abs().max() < 1e-5
    fuse_adapter(unet)
    again = unet(sample, 5, encoder_hidden_states=adapter_input(text, mine), **called).sample
    assert torch.equal(again, answer)


def test_safetensors_hold_the_same(given: Path, tmp_path: Path) -> None:
    unet = unet_of(given / "sd4")
    one = read_adapter(tiny_adapter(tmp_path / "a.bin", unet))
    two = read_adapter(tiny_adapter(tmp_path / "a.safetensors", unet))
    assert all(torch.equal(a, b) for a, b in zip(one.keys, two.keys, strict=True))
    assert one.projection.config == two.projection.config


def test_the_lora_inside_is_found(given: Path, tmp_path: Path) -> None:
    unet = unet_of(given / "sd4")
    file = tiny_adapter(tmp_path / "a.bin", unet, lora_rank=3)
    updates = low_rank_updates(read_adapter(file), unet, 1.0)
    assert len(updates) == 4 * len(unet.attn_processors)
    nested = torch.load(file, weights_only=True)["ip_adapter"]
    name = list(unet.attn_processors)[2].removesuffix(".processor")
    before = unet.get_submodule(name).to_out[0].weight.detach().clone()
    added = nested["2.to_out_lora.up.weight"] @ nested["2.to_out_lora.down.weight"]
    fuse_updates(unet, updates)
    after = unet.get_submodule(name).to_out[0].weight
    assert torch.allclose(after, before + added, atol=1e-6)


def test_an_adapter_of_another_backbone_is_refused(given: Path, tmp_path: Path) -> None:
    file = tiny_adapter(tmp_path / "a.bin", unet_of(given / "xl"))
    message = r"a.bin does not fit: expected an adapter for 4 .* width 64 \(here\), found one for "
    with pytest.raises(DoesNotFit, match=message):
        check_backbone(read_adapter(file), unet_of(given / "sd4"), what="here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n: n.pop("image_proj"), "expected entries image_proj and ip_adapter"),
        (lambda n: n["image_proj"].pop("norm.bias"), "the layers of a faceid projection"),
        (lambda n: n["image_proj"].update(more=torch.ones(1)), "the layers of a faceid projection"),
        (
            lambda n: n["image_proj"].clear() or n["image_proj"].update(x=torch.ones(1)),
            "FaceID Plus",
        ),
        (lambda n: n["ip_adapter"].update({"x.y": torch.ones(1)}), "to_k_ip, to_v_ip and LoRA"),
        (lambda n: n["ip_adapter"].pop("1.to_v_ip.weight"), "as many to_k_ip as to_v_ip"),
    ],
)
def test_a_damaged_adapter_is_refused(
    given: Path, tmp_path: Path, change: Any, message: str
) -> None:
    file = tiny_adapter(tmp_path / "a.bin", unet_of(given / "sd4"))
    nested = torch.load(file, weights_only=True)
    change(nested)
    torch.save(nested, file)
    with pytest.raises(UnreadableWeights, match=message):
        read_adapter(file)
