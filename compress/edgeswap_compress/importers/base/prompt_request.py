"""The words that a model is told with every swap, as the user gives them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeswap_compress.importers.errors import PartMissing


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """The words a model is told with every swap.

    Attributes:
        prompt: text; None where `embeds` is given.
        negative: what guidance takes instead of the prompt.
        embeds: safetensors with prompt_embeds and negative_prompt_embeds (1, T, D) float, and for
            Stable Diffusion XL the same with pooled_ in front (1, P), as diffusers' `encode_prompt`
            returns them.
    """

    prompt: str | None = None
    negative: str = ""
    embeds: Path | None = None


def check_prompt(request: PromptRequest, base: Path, *, xl: bool) -> None:
    """Make sure that the words can be encoded, before any work.

    Raises:
        PartMissing: there are none, or nothing that encodes them.
    """
    if (request.prompt is None) == (request.embeds is None):
        given = "neither" if request.prompt is None else "both"
        raise PartMissing(f"expected one of --prompt and --prompt-embeds, found {given}")
    if request.embeds is not None:
        if not request.embeds.is_file():
            raise PartMissing(f"--prompt-embeds {request.embeds}: expected a file, found nothing")
        return
    for folder in text_encoders(xl) + tokenizers(xl):
        if not (base / folder).is_dir():
            raise PartMissing(
                f"--prompt needs {base / folder}/, which is missing: name the whole pipeline's "
                "folder as the base, or give --prompt-embeds"
            )


def text_encoders(xl: bool) -> list[str]:
    """List the folders of a pipeline's text encoders."""
    return ["text_encoder", "text_encoder_2"] if xl else ["text_encoder"]


def tokenizers(xl: bool) -> list[str]:
    """List the folders of its tokenizers, in the same order."""
    return ["tokenizer", "tokenizer_2"] if xl else ["tokenizer"]
