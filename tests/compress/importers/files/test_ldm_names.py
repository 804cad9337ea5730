"""Names of latent diffusion's code: diffusers' own converter reads them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from edgeswap_compress.importers.files.ldm_names import ldm_names
from edgeswap_compress.importers.tiny.backbones import tiny_unet, tiny_vae, tiny_xl_unet
from edgeswap_compress.importers.tiny.ldm import ldm_state

UNETS = {
    "sd": lambda: tiny_unet(9),
    "xl": tiny_xl_unet,
    "deep": lambda: tiny_unet(
        block_out_channels=(32, 32, 64),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    ),
}


@pytest.mark.parametrize("kind", UNETS)
def test_diffusers_reads_the_same_tensors_back(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    unet: Any = UNETS[kind]()
    vae = tiny_vae()
    state = ldm_state(unet, vae)
    for name, module in (("unet", unet), ("vae", vae)):
        (tmp_path / name).mkdir()
        module.save_config(tmp_path / name)
        assert json.loads((tmp_path / name / "config.json").read_text())
    read = UNet2DConditionModel.from_single_file(dict(state), config=str(tmp_path / "unet"))
    back = AutoencoderKL.from_single_file(dict(state), config=str(tmp_path / "vae"))
    for mine, theirs in ((unet, read), (vae, back)):
        found = theirs.state_dict()
        assert all(torch.equal(tensor, found[name]) for name, tensor in mine.state_dict().items())


def test_every_layer_has_one_name() -> None:
    names = ldm_names(tiny_xl_unet())
    assert len(set(names.values())) == len(names)
    assert names["down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_out.0"] == (
        "input_blocks.3.1.transformer_blocks.1.attn2.to_out.0"
    )
