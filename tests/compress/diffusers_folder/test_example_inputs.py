"""Example inputs of every kind of conditioning."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgeswap_compress._pruning_errors import UnsupportedModel
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs

CONFIG: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "block_out_channels": (16, 32),
    "cross_attention_dim": 12,
}


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, None),
        ({"num_class_embeds": 3}, (2,)),
        ({"class_embed_type": "timestep"}, (2,)),
        ({"class_embed_type": "identity"}, (2, 64)),
        ({"class_embed_type": "identity", "time_embedding_dim": 24}, (2, 24)),
        (
            {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 7},
            (2, 7),
        ),
    ],
)
def test_class_labels(changes: dict[str, Any], shape: tuple[int, ...] | None) -> None:
    labels = example_inputs({**CONFIG, **changes}, batch=2).get("class_labels")
    assert (None if labels is None else tuple(labels.shape)) == shape


def test_sizes_and_tokens() -> None:
    inputs = example_inputs({**CONFIG, "sample_size": (6, 4)}, tokens=5)
    assert tuple(inputs["sample"].shape) == (1, 4, 6, 4)
    assert tuple(inputs["encoder_hidden_states"].shape) == (1, 5, 12)
    assert inputs["sample"].is_meta
    without_size = example_inputs({**CONFIG, "sample_size": None})
    assert tuple(without_size["sample"].shape) == (1, 4, 64, 64)


def test_projected_tokens_have_their_own_width() -> None:
    inputs = example_inputs({**CONFIG, "encoder_hid_dim": 20}, tokens=5)
    assert tuple(inputs["encoder_hidden_states"].shape) == (1, 5, 20)


def test_sizes_of_text_time_conditions() -> None:
    added = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 80,
    }
    conditions = example_inputs({**CONFIG, **added}, device="cpu")["added_cond_kwargs"]
    assert tuple(conditions["text_embeds"].shape) == (1, 32)
    assert torch.equal(conditions["time_ids"], torch.zeros(1, 6))


def test_unknown_class_embeddings_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match="class_embed_type 'text' is not supported"):
        example_inputs({**CONFIG, "class_embed_type": "text"})
