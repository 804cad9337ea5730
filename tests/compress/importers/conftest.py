"""Tiny true architectures with random weights, written once: what `edgeswap import` is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeswap_compress.importers.tiny.backbones import tiny_base, tiny_prompt
from edgeswap_compress.importers.tiny.encoders import tiny_image_encoder, tiny_recognizer


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with base models sd4, sd9 and xl, their prompts, and two encoders."""
    folder = tmp_path_factory.mktemp("given")
    for name, channels, xl in (("sd4", 4, False), ("sd9", 9, False), ("xl", 4, True)):
        tiny_base(folder / name, channels=channels, xl=xl)
        tiny_prompt(folder / name, xl=xl)
    tiny_recognizer(folder / "recognizer.onnx")
    tiny_image_encoder(folder / "image_encoder.onnx")
    return folder
