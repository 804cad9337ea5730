"""Run the text encoders once, and keep what they say as constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgeswap_compress.diffusers_folder.unet_home import read_object
from edgeswap_compress.importers.base.prompt_request import (
    PromptRequest,
    text_encoders,
    tokenizers,
)
from edgeswap_compress.importers.base.reference import quiet
from edgeswap_compress.importers.errors import DoesNotFit, ImportRefused, PartMissing
from edgeswap_compress.importers.files.tensor_files import read_tensors


@dataclass(frozen=True, slots=True)
class Prompt:
    """What text encoders say of a prompt and of a negative prompt.

    Attributes:
        tokens, null_tokens: (1, T, D) float32.
        pooled, null_pooled: (1, P) float32 for Stable Diffusion XL; else None.
    """

    tokens: Tensor
    null_tokens: Tensor
    pooled: Tensor | None = None
    null_pooled: Tensor | None = None


def read_prompt(request: PromptRequest, base: Path, width: int, *, xl: bool) -> Prompt:
    """Encode the words, or read them encoded.

    Args:
        request: the words.
        base: diffusers folder with the text encoders.
        width: D of the U-Net's cross-attention.
        xl: whether the U-Net is told pooled text too.

    Raises:
        DoesNotFit: they are not of the U-Net's width.
        ImportRefused: the prompt is too long, or a tensor is missing.
    """
    values = _read(request.embeds) if request.embeds else _encode(request, base, xl=xl)
    needed = ["prompt_embeds", "negative_prompt_embeds"]
    if xl:
        needed += ["pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
    where = request.embeds or base
    if missing := [name for name in needed if name not in values]:
        raise PartMissing(f"{where}: expected {', '.join(needed)}, found no {missing[0]}")
    tokens, null = (values[name].float() for name in needed[:2])
    for name, value in zip(needed, (tokens, null), strict=False):
        if value.ndim != 3 or value.shape[0] != 1 or value.shape[2] != width:
            raise DoesNotFit(
                f"{where}: {name}",
                expected=f"shape (1, tokens, {width}), the width of the U-Net's cross-attention",
                found=str(tuple(value.shape)),
                remedy="encode the prompt with the base model's own text encoders",
            )
    if tokens.shape != null.shape:
        raise ImportRefused(
            f"{where}: expected as many tokens in both prompts, found {tokens.shape[1]} and "
            f"{null.shape[1]}"
        )
    pooled = [values[name].float() for name in needed[2:]]
    return Prompt(tokens, null, *pooled)


def _read(file: Path) -> dict[str, Tensor]:
    return read_tensors(file)


@torch.no_grad()
def _encode(request: PromptRequest, base: Path, *, xl: bool) -> dict[str, Tensor]:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    found: dict[str, Tensor] = {}
    texts = {"": request.prompt or "", "negative_": request.negative}
    zeros = xl and not request.negative and _forces_zeros(base)
    for prefix, text in texts.items():
        states: list[Tensor] = []
        for encoder, tokenizer in zip(text_encoders(xl), tokenizers(xl), strict=True):
            kind = CLIPTextModelWithProjection if encoder.endswith("_2") else CLIPTextModel
            with quiet():
                loaded: Any = kind.from_pretrained(base / encoder, local_files_only=True)
            model = loaded.float().eval()
            words = CLIPTokenizer.from_pretrained(base / tokenizer, local_files_only=True)
            said = model(_numbers(words, text), output_hidden_states=True)
            states.append(said.hidden_states[-2] if xl else said.last_hidden_state)
            if encoder.endswith("_2"):
                found[f"{prefix}pooled_prompt_embeds"] = said.text_embeds
        found[f"{prefix}prompt_embeds"] = torch.cat(states, dim=-1)
    if zeros:
        for name in ("negative_prompt_embeds", "negative_pooled_prompt_embeds"):
            found[name] = torch.zeros_like(found[name])
    return found


def _numbers(words: Any, text: str) -> Tensor:
    longest = int(words.model_max_length)
    numbers = words(text, padding="longest", return_tensors="pt").input_ids
    if numbers.shape[1] > longest:
        raise ImportRefused(
            f"the prompt has {numbers.shape[1]} tokens: expected at most {longest}, write less"
        )
    padded = words(text, padding="max_length", max_length=longest, return_tensors="pt")
    given: Tensor = padded.input_ids
    return given


def _forces_zeros(base: Path) -> bool:
    file = base / "model_index.json"
    index: Mapping[str, Any] = read_object(file) if file.is_file() else {}
    return bool(index.get("force_zeros_for_empty_prompt", True))
