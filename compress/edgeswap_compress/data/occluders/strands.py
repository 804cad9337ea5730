"""Hair before the face: fringes, locks and single strands as ribbons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.occluders.solids import Material, Solid, grid_index

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.relief import Relief

_STEPS = 14
KINDS = ("fringe", "lock", "strands")


def draw_strands(
    rng: Generator,
    head: Head,
    face: NDArray[np.float32],
    relief: Relief,
    color: tuple[float, float, float],
    kind: str,
) -> Solid:
    """Draw hair that hangs over a face.

    Args:
        rng: where all of its randomness comes from.
        head: the morphable head.
        face: (N, 3) the unposed head it grows on.
        relief: of all faces of the scene.
        color: linear RGB.
        kind: "fringe" over the forehead, "lock" over one side, "strands" blown across the face.
    """
    roots, length, lean, jitter = _plan(rng, kind)
    count = len(roots)
    line = _hairline(head, face)
    x0 = roots[:, 0]
    y0 = np.interp(np.abs(x0), line[:, 0], line[:, 1]) + roots[:, 1]
    t = np.linspace(0, 1, _STEPS)[None, :]
    wave, phase = rng.uniform(0, 0.05), rng.uniform(0, 6.28, count)[:, None]
    bow = lean[:, None] * t + jitter[:, None] * t * t
    x = x0[:, None] + bow + wave * np.sin(7 * t + 0.3 * phase) * t
    y = y0[:, None] - length[:, None] * t * (1 - 0.1 * t)
    flat = np.stack([x, y], axis=-1).reshape(-1, 2)
    clear = rng.uniform(0.03, 0.10, count)[:, None] * np.ones_like(t)
    # Hair bridges hollows: it lies on the larger of the skin and the smoothed face.
    under = np.maximum(relief.top(flat), relief.smooth(flat) - 0.02).reshape(count, _STEPS)
    z = np.maximum.accumulate(under[:, ::-1], axis=1)[:, ::-1] * 0.35 + 0.65 * under + clear
    paths = np.stack([x, y, z], axis=-1)
    width = rng.uniform(0.004, 0.009, count) * (1.0 if kind != "strands" else 0.8)
    opacity = float(rng.uniform(0.55, 0.95))
    uniforms = {"color": color, "opacity": opacity}
    return ribbons(paths, width, Material(program="strand", uniforms=uniforms, blended=True))


def _plan(
    rng: Generator, kind: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Roots (n, 2) as x and height over the hairline, lengths, sideways lean and scatter (n,)."""
    if kind == "fringe":
        count = int(rng.integers(160, 520))
        low, high = sorted(rng.uniform(-0.75, 0.75, 2))
        if high - low < 0.5:
            low, high = -0.6, 0.6
        x = rng.uniform(low, high, count)
        locks = np.round(x * rng.uniform(4, 10))
        length = rng.uniform(0.35, 1.15) * np.exp(rng.normal(0, 0.07, count))
        length *= 1 + 0.16 * np.sin(locks * 2.4)
        lean = rng.normal(0, 0.30) + 0.08 * np.sin(locks * 3.7) + rng.normal(0, 0.03, count)
        jitter = 0.10 * np.sin(locks * 5.1) + rng.normal(0, 0.05, count)
    elif kind == "lock":
        count = int(rng.integers(60, 240))
        side = rng.choice([-1.0, 1.0])
        x = side * rng.uniform(0.15, 0.55) + rng.normal(0, 0.08, count)
        length = rng.uniform(0.8, 2.0) * np.exp(rng.normal(0, 0.10, count))
        lean = side * rng.uniform(-0.45, 0.3) + rng.normal(0, 0.04, count)
        jitter = side * rng.uniform(-0.2, 0.35) + rng.normal(0, 0.05, count)
    else:
        count = int(rng.integers(4, 40))
        x = rng.uniform(-0.7, 0.7, count)
        length = rng.uniform(0.6, 2.2, count)
        lean = rng.normal(0, 0.5) + rng.normal(0, 0.25, count)
        jitter = rng.normal(0, 0.3, count)
    roots = np.stack([x, rng.uniform(-0.03, 0.16, count)], axis=1)
    return roots, length, lean, jitter


def _hairline(head: Head, face: NDArray[np.float32]) -> NDArray[np.float64]:
    """Height over |x| of where hair begins: (P, 2), dm."""
    eyes = np.mean([face[head.joints[f"{side}-eye"]].mean(0)[1] for side in ("right", "left")])
    shape = np.array([[0.0, 0.92], [0.25, 0.90], [0.45, 0.78], [0.6, 0.55], [0.72, 0.25], [0.9, 0]])
    return shape + np.array([0, float(eyes)])


def ribbons(paths: NDArray[np.floating], width: NDArray[np.floating], material: Material) -> Solid:
    """Ribbons along (n, P, 3) paths, (n,) dm wide, that turn to the camera when drawn."""
    count, steps, _ = paths.shape
    tangent = np.gradient(paths, axis=1)
    both = np.repeat(paths[:, :, None], 2, axis=2)
    v = np.broadcast_to(np.linspace(0, 1, steps)[None, :, None], both.shape[:3])
    u = np.broadcast_to(np.array([0.0, 1.0]), both.shape[:3])
    taper = 1 - 0.6 * v
    sign = np.broadcast_to(np.array([-1.0, 1.0]), both.shape[:3])
    cells = grid_index(steps, 2)
    index = (cells[None] + (2 * steps * np.arange(count))[:, None, None]).reshape(-1, 3)
    anchor = np.repeat(paths[:, :1], 2 * steps, axis=1)
    return Solid(
        positions=both.reshape(-1, 3).astype(np.float32),
        index=index.astype(np.int32),
        uv=np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float32),
        anchor=anchor.reshape(-1, 3).astype(np.float32),
        material=material,
        toward=np.repeat(tangent[:, :, None], 2, axis=2).reshape(-1, 3).astype(np.float32),
        spread=(sign * taper * width[:, None, None]).reshape(-1).astype(np.float32),
    )
