"""Write the files of each family as its owners publish them, and say how they are imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel

from edgeswap_compress.importers.tiny.adapters import tiny_adapter, tiny_lora
from edgeswap_compress.importers.tiny.backbones import (
    WIDTH,
    tiny_base,
    tiny_controlnet,
    tiny_prompt,
)
from edgeswap_compress.importers.tiny.encoders import tiny_image_encoder, tiny_recognizer
from edgeswap_compress.importers.tiny.ldm import tiny_ldm

TINY_FAMILIES = ("faceid", "faceid_img2img", "faceid_plus", "plus_face", "instantid", "paint",
                 "reface", "python")  # fmt: skip
"""The families, and the forms of FaceID: "faceid" repaints by 9 input channels, the other forms of
it have 4; "faceid_img2img" begins at the noised target."""

PLUGIN = "colors"

_MODULE = '''"""Tell a U-Net the mean color of the source, as eight tokens."""

import torch
from torch import nn

from edgeswap_compress.conditioning.condition import Condition
from edgeswap_compress.conditioning.crops import crop_of_template

SEEN = "small/source"


class Tokens(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.register_buffer("matrix", scale * torch.randn(3, 8 * {width}, generator=random))

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.told(picture.mean((2, 3))),)

    def told(self, mean: torch.Tensor) -> torch.Tensor:
        return (mean @ self.matrix).view(-1, 8, {width})


class Colors:
    def __init__(self, folder) -> None:
        self.tokens = Tokens(float((folder / "scale.txt").read_text()))
        self.crops = {{SEEN: crop_of_template("tight", 32)}}

    def graphs(self):
        return {{"colors": self.tokens}}

    def condition(self, crops) -> Condition:
        return Condition(tokens=self.tokens(crops[SEEN])[0])

    def null(self, n: int) -> Condition:
        return Condition(tokens=self.tokens.told(torch.zeros(n, 3)))


def conditioner(folder):
    return Colors(folder)
'''


def tiny_family(family: str, folder: Path) -> list[str]:
    """Write a family's files into a folder.

    Args:
        family: one of `TINY_FAMILIES`.
        folder: existing.

    Returns:
        the arguments of `edgeswap import`, without its output: family, what is imported, options.
        "python" needs EDGESWAP_CONDITIONERS to name the file `tiny_plugin` has written.
    """
    if family in ("paint", "reface"):
        words = _example(folder, reface=family == "reface")
    elif family == "python":
        tiny_plugin(folder)
        words = ["python", tiny_base(folder / "base"), "--entry", PLUGIN]
        words += ["--files", folder / "files", "--guidance", 3]
    else:
        words = _adapter(family, folder)
    return [str(word) for word in words]


def tiny_plugin(folder: Path) -> Path:
    """Write a conditioning module of one's own, and the folder `files` that it reads."""
    (folder / "files").mkdir(parents=True, exist_ok=True)
    (folder / "files" / "scale.txt").write_text("0.7")
    file = folder / f"{PLUGIN}.py"
    file.write_text(_MODULE.format(width=WIDTH))
    return file


def _example(folder: Path, *, reface: bool) -> Sequence[Any]:
    file = tiny_ldm(folder / "last.ckpt", reface=reface)
    if not reface:
        return ["reface", file]
    face = tiny_recognizer(folder / "recognizer.onnx")
    marks = tiny_recognizer(folder / "landmarks.onnx", size=136)
    return ["reface", file, "--recognizer", face, "--landmarks", marks]


def _adapter(family: str, folder: Path) -> Sequence[Any]:
    xl = family == "instantid"
    kind = "faceid" if family == "faceid_img2img" else family
    base = tiny_base(folder / "base", channels=9 if family == "faceid" else 4, xl=xl)
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    adapter = tiny_adapter(folder / "adapter.bin", unet, kind, tokens=16 if xl else 4)
    words: list[Any] = ["instantid" if xl else "faceid", base, "--adapter", adapter]
    words += ["--prompt-embeds", tiny_prompt(folder / "words", xl=xl), "--guidance", 3]
    words += ["--lora", f"{tiny_lora(folder / 'lora.safetensors', unet)}:0.5"]
    if kind != "plus_face":
        words += ["--recognizer", tiny_recognizer(folder / "recognizer.onnx")]
    if kind in ("faceid_plus", "plus_face"):
        words += ["--image-encoder", tiny_image_encoder(folder / "image_encoder.onnx")]
    if family == "faceid_img2img":
        words += ["--strength", 0.75]
    if xl:
        words += ["--controlnet", tiny_controlnet(folder / "net", base)]
        words += ["--strength", 0.75, "--blend", "latents"]
    return words
