"""Augmentation: light, color, blur, noise and compression of photographs, things in front.

Target and truth are one photograph, so they get the same changes and the same occluder, which a
swap must then keep; the source is another photograph and gets changes of its own.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.uint8]  # (S, S, 3) RGB

_COLOR_CHANCE = 0.8
_HARD_CHANCE = 0.3  # of colored looks: as dim as a fifth, or in a colored light
_CHANCE = 0.3  # of each other change, and of an occluder
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SUPERSAMPLING = 3  # of an occluder's outline


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a photograph was taken and stored.

    Attributes:
        gains: factors of red, green and blue: exposure and white balance.
        gamma: exponent of the tone curve.
        contrast: about middle gray.
        saturation: 0 gray, 1 as it is.
        blur: deviation of a Gaussian in shares of the side; 0 none.
        shrink: factor by which the picture was once smaller; 1 none.
        noise: deviation of sensor noise, gray levels; 0 none.
        noise_seed: pictures of one look get the same noise.
        quality: of JPEG; None where it was never compressed.
    """

    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    blur: float = 0.0
    shrink: float = 1.0
    noise: float = 0.0
    noise_seed: int = 0
    quality: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Occluder:
    """Something in front of the face.

    Attributes:
        colors: (S, S, 3) float32, 0 .. 255.
        cover: (S, S, 1) float32, 0 .. 1.
    """

    colors: NDArray[np.float32]
    cover: NDArray[np.float32]

    def put_before(self, picture: Pixels) -> Pixels:
        """Put the occluder in front of a picture; bytes that it does not touch are kept."""
        mixed = picture + self.cover * (self.colors - picture)
        shown: Pixels = np.rint(mixed).astype(np.uint8)
        return shown


def augment_example(
    rng: np.random.Generator, source: Pixels, target: Pixels, truth: Pixels
) -> tuple[Pixels, Pixels, Pixels]:
    """Change source, target and truth as another camera might have seen them."""
    occluder = draw_occluder(rng, len(target)) if rng.random() < _CHANCE else None
    own, scene = draw_look(rng), draw_look(rng)
    target, truth = (_taken(picture, occluder, scene) for picture in (target, truth))
    return apply_look(own, source), target, truth


def augment_scene(
    rng: np.random.Generator, target: Pixels, truth: Pixels
) -> tuple[Pixels, Pixels, NDArray[np.float32]]:
    """Change target and truth alike, see `augment_example`, and tell what was put before them.

    Returns:
        Target, truth, and the occluder's cover (S, S) float32 in [0, 1].
    """
    occluder = draw_occluder(rng, len(target)) if rng.random() < _CHANCE else None
    scene = draw_look(rng)
    cover = np.zeros(target.shape[:2], np.float32) if occluder is None else occluder.cover[..., 0]
    return _taken(target, occluder, scene), _taken(truth, occluder, scene), cover


def _taken(picture: Pixels, occluder: Occluder | None, look: Look) -> Pixels:
    shown = picture if occluder is None else occluder.put_before(picture)
    return apply_look(look, shown)


def draw_look(rng: np.random.Generator) -> Look:
    """Draw a look; about one in fifteen changes nothing."""
    colored = rng.random() < _COLOR_CHANCE
    hard = rng.random() < _HARD_CHANCE
    exposure = float(np.exp2(rng.uniform(-2.4 if hard else -0.6, 0.6)))
    balance = np.exp(rng.normal(0.0, 0.3 if hard else 0.08, 3))
    gamma = float(np.exp(rng.uniform(-0.22, 0.22)))
    contrast, saturation = rng.uniform(0.75, 1.25), rng.uniform(0.3, 1.4)
    blurred, noisy, compressed = rng.random(3) < _CHANCE
    by_lens = rng.random() < 0.5
    blur, shrink = rng.uniform(0.004, 0.013), rng.uniform(1.3, 2.6)
    noise, quality = rng.uniform(1.0, 8.0), int(rng.integers(30, 91))
    return Look(
        gains=tuple((exposure * balance).tolist()) if colored else (1.0, 1.0, 1.0),
        gamma=gamma if colored else 1.0,
        contrast=float(contrast) if colored else 1.0,
        saturation=float(saturation) if colored else 1.0,
        blur=float(blur) if blurred and by_lens else 0.0,
        shrink=float(shrink) if blurred and not by_lens else 1.0,
        noise=float(noise) if noisy else 0.0,
        noise_seed=int(rng.integers(2**32)),
        quality=quality if compressed else None,
    )


def apply_look(look: Look, picture: Pixels) -> Pixels:
    """Change a picture (S, S, 3) by a look: the light, the lens, the sensor, the compression."""
    values = picture.astype(np.float32) / 255
    values = np.clip(values * np.array(look.gains, np.float32), 0.0, 1.0) ** look.gamma
    values = 0.5 + look.contrast * (values - 0.5)
    gray = (values @ _LUMA)[..., None]
    values = gray + look.saturation * (values - gray)
    levels = _to_uint8(255 * values)
    if look.blur or look.shrink > 1:
        levels = _soften(levels, look)
    if look.noise:
        field = np.random.default_rng(look.noise_seed).normal(0.0, look.noise, levels.shape)
        levels = _to_uint8(levels + field)
    return levels if look.quality is None else _compress(levels, look.quality)


def _soften(levels: Pixels, look: Look) -> Pixels:
    image, side = Image.fromarray(levels), len(levels)
    if look.blur:
        image = image.filter(ImageFilter.GaussianBlur(look.blur * side))
    if look.shrink > 1:
        small = max(1, round(side / look.shrink))
        image = image.resize((small, small), Image.Resampling.BOX)
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _compress(levels: Pixels, quality: int) -> Pixels:
    data = io.BytesIO()
    Image.fromarray(levels).save(data, format="JPEG", quality=quality)
    return np.asarray(Image.open(data))


def _to_uint8(values: NDArray[np.floating]) -> Pixels:
    levels: Pixels = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return levels


def draw_occluder(rng: np.random.Generator, side: int) -> Occluder:
    """Draw an occluder: a bar from the border, a blob, or strands, of uneven color."""
    big = side * _SUPERSAMPLING
    outline = Image.new("L", (big, big))
    shape = (_bar, _blob, _strands)[int(rng.integers(3))]
    shape(ImageDraw.Draw(outline), rng, big)
    cover = np.asarray(outline.reduce(_SUPERSAMPLING), np.float32)[..., None]
    return Occluder(colors=_surface(rng, side), cover=cover / np.float32(255))


def _bar(draw: ImageDraw.ImageDraw, rng: np.random.Generator, big: int) -> None:
    """Draw a bar with a rounded end, such as a finger, an arm or a microphone."""
    end, angle = rng.uniform(0.2, 0.8, 2) * big, rng.uniform(0, 2 * math.pi)
    half = rng.uniform(0.04, 0.11) * big
    away = end + 2 * big * np.array([math.cos(angle), math.sin(angle)])
    draw.line([tuple(end), tuple(away)], fill=255, width=round(2 * half))
    draw.ellipse([*(end - half), *(end + half)], fill=255)


def _blob(draw: ImageDraw.ImageDraw, rng: np.random.Generator, big: int) -> None:
    """Draw a closed curve of a few waves, such as a hand, a cup or a leaf."""
    turns = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    waves, phases = rng.normal(0.0, 0.12, 3), rng.uniform(0, 2 * math.pi, 3)
    radius = rng.uniform(0.1, 0.25) * big
    radii = radius * (1 + sum(waves[k] * np.cos((k + 2) * turns + phases[k]) for k in range(3)))
    center = rng.uniform(0, 1, 2) * big
    points = center + radii[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1)
    draw.polygon([(float(x), float(y)) for x, y in points], fill=255)


def _strands(draw: ImageDraw.ImageDraw, rng: np.random.Generator, big: int) -> None:
    """Draw a few curves from one place to another, such as hair in the face."""
    begin, bend, end = rng.uniform(0, 1, (3, 2)) * big
    along = np.linspace(0, 1, 24)[:, None]
    for _ in range(int(rng.integers(3, 11))):
        a, b, c = (p + rng.normal(0, 0.06 * big, 2) for p in (begin, bend, end))
        points = (1 - along) ** 2 * a + 2 * along * (1 - along) * b + along**2 * c
        width = max(1, round(rng.uniform(0.008, 0.022) * big))
        draw.line([(float(x), float(y)) for x, y in points], fill=255, width=width)


def _surface(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Draw the colors (S, S, 3) of an occluder: skin, hair or anything, shaded and mottled."""
    kind = rng.random()
    if kind < 0.4:  # skin, from dark to light
        base = np.array([224.0, 172.0, 140.0]) * rng.uniform(0.3, 1.1)
    elif kind < 0.7:  # hair, shadow, a microphone
        base = rng.uniform(5.0, 70.0) * np.array([1.0, 0.85, 0.7])
    else:
        base = rng.uniform(0.0, 255.0, 3)
    coarse = rng.normal(0.0, 0.18, (5, 5)).astype(np.float32)
    shade = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    grain = rng.normal(0.0, 0.03, (side, side)).astype(np.float32)
    lit: NDArray[np.float32] = np.clip((1 + shade + grain)[..., None] * base, 0, 255)
    return lit.astype(np.float32)
