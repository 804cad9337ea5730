"""Prompts are encoded as diffusers encodes them; image encoders are exported as torch runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from edgeswap_compress.importers.base.clip_export import (
    export_clip,
    vision_config,
    vision_of_folder,
    vision_of_state,
)
from edgeswap_compress.importers.base.prompt_request import PromptRequest, check_prompt
from edgeswap_compress.importers.base.text import read_prompt
from edgeswap_compress.importers.errors import ImportRefused, PartMissing, UnreadableWeights
from edgeswap_compress.importers.tiny.ldm import CLIP

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")

WORDS = ["a", "photo", "of", "face", "ugly"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tiny text encoders and their tokenizers."""
    folder = tmp_path_factory.mktemp("told")
    torch.manual_seed(0)
    size = {"vocab_size": 49, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 3,
            "num_attention_heads": 4, "max_position_embeddings": 16, "eos_token_id": 48,
            "bos_token_id": 47, "pad_token_id": 48}  # fmt: skip
    config = transformers.CLIPTextConfig(**size, projection_dim=32)
    transformers.CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    second = transformers.CLIPTextModelWithProjection(config)
    second.save_pretrained(folder / "text_encoder_2")
    letters = [chr(97 + i) for i in range(23)]
    vocab = {t: i for i, t in enumerate([*letters, *[f"{c}</w>" for c in letters]])}
    vocab |= {"<|startoftext|>": 47, "<|endoftext|>": 48}
    made = transformers.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=16)
    for name in ("tokenizer", "tokenizer_2"):
        made.save_pretrained(folder / name)
    return folder


def by_diffusers(folder: Path, prompt: str, negative: str | None, *, xl: bool) -> Any:
    def load(kind: str, name: str) -> Any:
        return getattr(transformers, kind).from_pretrained(folder / name)

    parts = {"vae": None, "unet": None, "scheduler": None, "feature_extractor": None,
             "text_encoder": load("CLIPTextModel", "text_encoder"),
             "tokenizer": load("CLIPTokenizer", "tokenizer")}  # fmt: skip
    if not xl:
        pipe: Any = StableDiffusionPipeline(
            **parts, safety_checker=None, requires_safety_checker=False
        )
        return pipe.encode_prompt(prompt, "cpu", 1, True, negative_prompt=negative)
    second = {"text_encoder_2": load("CLIPTextModelWithProjection", "text_encoder_2"),
              "tokenizer_2": load("CLIPTokenizer", "tokenizer_2")}  # fmt: skip
    pipe = StableDiffusionXLPipeline(**parts, **second, add_watermarker=False)
    return pipe.encode_prompt(prompt, negative_prompt=negative, device="cpu")


@pytest.mark.parametrize("negative", ["", "ugly"])
@pytest.mark.parametrize("xl", [False, True])
@torch.no_grad()
def test_a_prompt_is_encoded_as_diffusers_encodes_it(told: Path, xl: bool, negative: str) -> None:
    request = PromptRequest("a face", negative)
    check_prompt(request, told, xl=xl)
    mine = read_prompt(request, told, 128 if xl else 64, xl=xl)
    truth = by_diffusers(told, "a face", negative or None, xl=xl)
    found = (mine.tokens, mine.null_tokens, mine.pooled, mine.null_pooled)
    for one, two in zip(found, truth, strict=False):
        assert one is not None and torch.allclose(one, two, atol=1e-6)
    assert not torch.equal(mine.tokens, mine.null_tokens)


def test_a_prompt_that_is_too_long_is_refused(told: Path) -> None:
    with pytest.raises(ImportRefused, match="expected at most 16, write less"):
        read_prompt(PromptRequest("a face of a face of a face"), told, 64, xl=False)


def test_one_of_words_and_embeddings_is_needed(told: Path) -> None:
    with pytest.raises(PartMissing, match="found neither"):
        check_prompt(PromptRequest(), told, xl=False)


@pytest.mark.parametrize(
    "read",
    ["pooled", *(pytest.param(name, marks=pytest.mark.slow) for name in ("states", "embeds"))],
)
@torch.no_grad()
def test_an_image_encoder_s_folder_becomes_an_onnx_file(tmp_path: Path, read: str) -> None:
    torch.manual_seed(0)
    model = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**CLIP))
    model.eval().save_pretrained(tmp_path / "clip")
    if read == "pooled":
        state = model.vision_model.state_dict()
        assert vision_config(state)["num_hidden_layers"] == CLIP["num_hidden_layers"]
        loaded = vision_of_state(tmp_path, state)
    else:
        loaded = vision_of_folder(tmp_path / "clip")
    file = export_clip(loaded, read, tmp_path / "clip.onnx")
    picture = torch.randn(1, 3, 224, 224)
    said = model(pixel_values=picture, output_hidden_states=True)
    pooled = model.vision_model(pixel_values=picture).pooler_output
    truth = {"states": lambda: said.hidden_states[-2], "embeds": lambda: said.image_embeds,
             "pooled": lambda: pooled}[read]()  # fmt: skip
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = session.run(None, {"picture": picture.numpy()})[0]
    assert np.abs(found - truth.numpy()).max() < 1e-4
    again = export_clip(loaded, read, tmp_path / "again.onnx")
    assert again.read_bytes() == file.read_bytes()


def test_a_folder_without_an_image_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"expected a transformers folder with config.json"):
        vision_of_folder(tmp_path)
    with pytest.raises(UnreadableWeights, match="the tensors of CLIP's image encoder"):
        vision_of_state(tmp_path, {"a": torch.ones(1)})
