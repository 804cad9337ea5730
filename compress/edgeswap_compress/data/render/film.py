"""A camera: from linear light to the bytes of a picture, the same way for target and truth.

Everything random of one exposure follows from its seed, so that the pictures of one scene get the
same noise; where two of them have the same light they get the same bytes before compression.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from edgeswap_compress.data.render.blocks import quantize_blocks

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

_WHITE = 5.0  # linear light that becomes 1
_LUMA = np.array([0.21, 0.72, 0.07], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """One exposure's settings.

    Attributes:
        seed: of the noise.
        balance: (3,) factors on linear RGB.
        contrast: 1 neutral; saturation: 1 neutral.
        gain: amplification of the sensor's signal; its noise grows with it. 1 is a good camera in
            good light, 30 a phone at night.
        denoise: 0 raw .. 1 the camera smooths its noise, color first.
        focus_px: standard deviation of the blur, at 128 px.
        motion_px, motion_deg: length and direction of motion blur, at 128 px.
        sharpen: strength of unsharp masking.
        scale: 1 .. 3, by how much the face was smaller in the picture it was cut from.
        jpeg: quality, 0 for none; video: quantizer step of video-like blocks, 0 for none.
    """

    seed: int
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    gain: float = 1.0
    denoise: float = 0.0
    focus_px: float = 0.0
    motion_px: float = 0.0
    motion_deg: float = 0.0
    sharpen: float = 0.0
    scale: float = 1.0
    jpeg: int = 0
    video: float = 0.0


def draw_film(
    rng: Generator, *, dim: float = 0.0, tint: NDArray[np.floating] | None = None
) -> Film:
    """Draw a camera.

    Args:
        rng: where all of its randomness comes from.
        dim: 0 in good light .. 1 in the dark: noise and blur grow.
        tint: (3,) color of the light, which the camera takes out in part.
    """
    neutral, taken = rng.normal(0, 0.04, 3), rng.uniform(0.0, 0.5)
    if tint is not None:
        neutral = neutral - taken * np.log(np.maximum(tint, 1e-3))
    pick = rng.random(6)
    compressed = rng.random()
    return Film(
        seed=int(rng.integers(2**32)),
        balance=_triple(np.exp(neutral - neutral.mean())),
        contrast=float(np.exp(rng.normal(0.30, 0.18))),
        saturation=float(np.clip(rng.normal(0.84, 0.14), 0.35, 1.2)) * float(pick[5] > 0.03),
        gain=float(np.exp(rng.normal(1.1 + 2.2 * dim, 0.9))),
        denoise=float(rng.random()),
        focus_px=float(rng.uniform(0.1, 0.5) if pick[0] > 0.14 else rng.uniform(0.55, 1.4)),
        motion_px=float(rng.uniform(1.0, 4.5)) * float(pick[1] < 0.06 + 0.10 * dim),
        motion_deg=float(rng.uniform(0, 180)),
        sharpen=float(rng.uniform(0.0, 1.0)) * float(pick[2] < 0.5),
        scale=float(1.0 if pick[3] < 0.7 else rng.uniform(1.0, 2.2)),
        jpeg=int(rng.integers(45, 97)) if compressed < 0.55 else 0,
        video=float(np.exp(rng.uniform(np.log(5), np.log(34)))) if compressed > 0.78 else 0.0,
    )


def blur(light: NDArray[np.float32], film: Film) -> NDArray[np.float32]:
    """Blur linear light (S, S, C), or a mask (S, S, 1), as focus, motion and size do."""
    size = len(light)
    sigma = film.focus_px * size / 128
    blurred = light
    if film.motion_px > 0:
        blurred = _moved(blurred, film.motion_px * size / 128, film.motion_deg)
    if sigma > 0.2:
        for axis in (0, 1):
            blurred = ndimage.gaussian_filter1d(
                blurred, sigma, axis=axis, mode="nearest", truncate=3.0
            )
    return blurred


def _moved(light: NDArray[np.float32], length: float, angle_deg: float) -> NDArray[np.float32]:
    """Mean along a line, through five shifts."""
    step = np.array([np.sin(np.radians(angle_deg)), np.cos(np.radians(angle_deg))]) * length / 4
    shifts = [(*(step * k), 0.0) for k in (-2, -1, 1, 2)]
    others = [ndimage.shift(light, s, order=1, mode="nearest") for s in shifts]
    mean: NDArray[np.float32] = (light + sum(others)) / np.float32(5)
    return mean


def tone(light: NDArray[np.floating]) -> NDArray[np.floating]:
    """Linear light to 0 .. 1, highlights compressed. Reinhard et al. 2002, equation 4."""
    return light * (1 + light / _WHITE**2) / (1 + light)


def exposure_for(light: float, level: float) -> float:
    """The factor that brings linear light to a display level (0 .. 1, after gamma)."""
    wanted = level**2.2
    # The positive root of x (1 + x / W²) = wanted (1 + x).
    b, w2 = 1 - wanted, _WHITE**2
    root = 0.5 * w2 * (np.sqrt(b * b + 4 * wanted / w2) - b)
    return float(root / max(light, 1e-4))


def develop(
    light: NDArray[np.float32], film: Film, grain: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Expose linear light (S, S, 3), already blurred.

    Args:
        light: what falls on the sensor.
        film: the camera's settings.
        grain: (S, S, 3) of `grain_of`, the same for all pictures of a scene.

    Returns:
        (S, S, 3) uint8 RGB.
    """
    signal = np.maximum(light, 0) * np.array(film.balance, np.float32)
    gain = np.float32(film.gain)
    variance = gain * np.float32(2.5e-5) * signal + (gain * np.float32(6e-4)) ** 2
    signal = np.maximum(signal + grain * np.sqrt(variance), 0)
    picture = np.clip(tone(signal), 0, 1) ** np.float32(1 / 2.2)
    if film.contrast != 1:
        # Steepen or flatten about a middle gray, black and white stay.
        middle = np.float32(0.45)
        low = middle * (picture / middle) ** film.contrast
        high = 1 - (1 - middle) * ((1 - picture) / (1 - middle)) ** film.contrast
        picture = np.where(picture < middle, low, high)
    gray = (picture @ _LUMA)[:, :, None]
    picture = gray + np.float32(film.saturation) * (picture - gray)
    if film.sharpen > 0:
        soft = ndimage.gaussian_filter(picture, (1.0, 1.0, 0), mode="nearest", truncate=2.5)
        picture = picture + np.float32(film.sharpen) * (picture - soft)
    pixels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return _compress(pixels, film)


def grain_of(film: Film, size: int) -> NDArray[np.float32]:
    """The pattern of shot and read noise, smoothed as cameras do: (size, size, 3), deviation 1."""
    rng = np.random.default_rng(film.seed)
    normal = rng.standard_normal((size, size, 3), dtype=np.float32)
    if film.denoise > 0.3:
        gray = normal.mean(2, keepdims=True) * np.float32(1.7)
        chroma = ndimage.uniform_filter(normal - normal.mean(2, keepdims=True), (5, 5, 0))
        normal = gray + chroma * np.float32(1.5)
    if film.denoise > 0.6:
        normal = ndimage.gaussian_filter(normal, (0.7, 0.7, 0)) * np.float32(1.2)
    return normal


def _compress(pixels: NDArray[np.uint8], film: Film) -> NDArray[np.uint8]:
    """Lose what a smaller picture, JPEG or video loses."""
    size = len(pixels)
    small = round(size / film.scale)
    if small < size:
        image = Image.fromarray(pixels).resize((small, small), Image.Resampling.BOX)
        pixels = np.asarray(image)
    if film.jpeg:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="JPEG", quality=film.jpeg)
        pixels = np.asarray(Image.open(file).convert("RGB"))
    if film.video:
        pixels = quantize_blocks(pixels, film.video)
    if small < size:
        image = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
    return pixels


def _triple(values: NDArray[np.floating]) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
