"""Shared fixtures: a dataset of noise in the shape of a rendered one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image


@dataclass
class NoiseDataset:
    """Stands in for a rendered dataset: every inner face is a color, every scene a gradient."""

    groups: int = 6
    identities: int = 2
    size: int = 24
    seed: int = 0
    pictures: int = field(init=False)

    def __post_init__(self) -> None:
        self.pictures = self.identities * (self.identities + 1)
        self.recipe = {"noise": [self.groups, self.identities, self.size, self.seed]}
        self.digest = hashlib.sha256(repr((self.groups, self.size, self.seed)).encode()).hexdigest()
        rng = np.random.default_rng(self.seed)
        k = self.identities
        faces = rng.integers(0, 255, (self.groups, k, 3))
        scenes = rng.integers(0, 255, (self.groups, 2 * k, self.size, 1, 3))
        inside = np.zeros((self.size, self.size, 1), bool)
        inside[6:20, 5:19] = True
        order = [(a, a) for a in range(k)] + [(k + b, a) for b in range(k) for a in range(k)]
        self._images = np.stack(
            [
                np.stack([np.where(inside, faces[g, a], scenes[g, s]) for s, a in order])
                for g in range(self.groups)
            ]
        ).astype(np.uint8)
        self._mask = (255 * inside[..., 0]).astype(np.uint8)

    def __len__(self) -> int:
        return self.groups

    def images(self, group: int) -> NDArray[np.uint8]:
        return self._images[group]

    def masks(self, group: int) -> NDArray[np.uint8]:
        return np.broadcast_to(self._mask, (self.pictures, self.size, self.size))

    def occluders(self, group: int) -> NDArray[np.uint8]:
        return np.zeros((self.pictures, self.size, self.size), np.uint8)


@pytest.fixture
def noise_dataset() -> NoiseDataset:
    return NoiseDataset()


class ColorJudge:
    """Knows people by the color of the inner face, which is all a NoiseDataset shows of them."""

    name = "color"
    sha256 = "c" * 64

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        colors: NDArray[np.float32] = crops[:, 8:18, 7:17].mean((1, 2)).astype(np.float32)
        return colors / np.float32(255) + np.float32(0.1)


class BrightnessLandmarker:
    """Eyes 10 px apart and a mouth that opens with the brightness of the inner face."""

    name = "brightness"
    sha256 = "b" * 64
    eye_corners = (0, 1, 2, 3)

    def find(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        eyes = np.array([[4.0, 8.0], [8.0, 8.0], [14.0, 8.0], [18.0, 8.0]])
        mouth = np.stack([np.full(len(crops), 11.0), crops[:, 8:18, 7:17].mean((1, 2, 3))], -1)
        return np.concatenate([np.tile(eyes, (len(crops), 1, 1)), mouth[:, None]], 1)


@pytest.fixture
def color_judge() -> ColorJudge:
    return ColorJudge()


@pytest.fixture
def brightness_landmarker() -> BrightnessLandmarker:
    return BrightnessLandmarker()


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Crops of 32 px, which the tiny kinds swap: two of each of six people, by sub-folder."""
    return write_people(tmp_path / "people", NoiseDataset(size=32))


def write_people(folder: Path, dataset: NoiseDataset) -> Path:
    """Write the first two pictures of each group as crops of one person."""
    for group in range(len(dataset)):
        place = folder / f"person-{group}"
        place.mkdir(parents=True)
        for number, picture in enumerate(dataset.images(group)[:2]):
            Image.fromarray(picture).save(place / f"{number}.png")
    return folder
