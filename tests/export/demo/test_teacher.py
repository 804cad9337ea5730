"""The teacher's swaps in torch are pasted where the runtime pastes."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgeswap_compress.checkpoint.tiny import tiny_checkpoint  # noqa: E402
from edgeswap_export.demo._teacher import TorchTeacher  # noqa: E402
from edgeswap_runtime.bundle.manifest import Mask  # noqa: E402
from edgeswap_runtime.faces.paste import face_mask, mask_weights  # noqa: E402


def test_only_what_the_runtime_replaces_is_replaced() -> None:
    checkpoint = tiny_checkpoint()
    swap = checkpoint.swap
    landmarks = np.array(swap.landmarks_px)
    runtime: Any = SimpleNamespace(detect=lambda _: [SimpleNamespace(landmarks_px=landmarks)])
    size = swap.resolution_px
    target, source = np.random.default_rng(0).integers(0, 255, (2, size, size, 3), np.uint8)
    swapped = TorchTeacher(checkpoint, torch.float32).swap_picture(target, source, runtime)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    whole = Mask(**asdict(swap.mask))
    wide, narrow = (mask_weights(mask, x, y, size) for mask in (whole, face_mask(whole)))
    changed = (swapped != target).any(axis=2)
    rim = (wide > 0.01) & (narrow == 0)
    assert rim.any() and not changed[rim].any()
    assert changed[narrow > 0.5].all()
