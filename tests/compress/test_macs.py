"""Counting multiply-accumulates and parameters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgeswap_compress._macs import count_macs, count_parameters, macs_by_module


class SmallModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.GroupNorm(2, 8), nn.Flatten(2))
        self.to_q = nn.Linear(16, 4)

    def forward(self, picture: Tensor) -> Tensor:
        queries = self.to_q(self.body(self.conv(picture)))
        return nn.functional.scaled_dot_product_attention(queries, queries, queries)


CONV = 3 * 8 * 9 * 16  # in × out × kernel × pixels
LINEAR = 16 * 4 * 8
ATTENTION = 2 * 8 * 8 * 4  # QKᵀ and its product with V


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_convolutions_and_matrix_products_count_and_fused_attention_too(device: str) -> None:
    with torch.device(device):
        model, picture = SmallModel(), torch.zeros(1, 3, 4, 4)
    assert count_macs(model, {"picture": picture}) == CONV + LINEAR + ATTENTION
    assert count_macs(model, {"picture": picture.expand(2, 3, 4, 4)}) == 2 * (
        CONV + LINEAR + ATTENTION
    )


def test_modules_are_told_apart() -> None:
    counts = macs_by_module(SmallModel(), {"picture": torch.zeros(1, 3, 4, 4)})
    assert (counts["conv"], counts["to_q"]) == (CONV, LINEAR)
    assert counts.get("body", 0) == 0


def test_a_shared_parameter_counts_once_and_a_buffer_never() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, affine=False))
    model.append(model[0])
    assert count_parameters(model) == 12
