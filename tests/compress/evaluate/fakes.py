"""Models whose scores are known."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeswap_compress.evaluate.models import ModelFacts
from edgeswap_runtime.bundle.manifest import Mask
from edgeswap_runtime.faces.align import TEMPLATE_96

Crops = NDArray[np.uint8]

FACTS = ModelFacts(
    kind="fake",
    sha256="f" * 64,
    steps=1,
    guidance=1.0,
    sampler="none",
    precision="exact",
    resolution_px=24,
    latent_shape=(2, 3, 3),
    landmarks_px=tuple((x / 4, y / 4) for x, y in TEMPLATE_96.tolist()),
    mask=Mask(center_px=(11.5, 11.5), radii_px=(40.0, 40.0), exponent=2.5, feather_px=0.0),
)


@dataclasses.dataclass
class FakeModel:
    """Keeps the target, but for the inner face, where it shows `inner(target, source, noise)`."""

    inner: Any
    facts: ModelFacts = FACTS
    reconstructs: bool = True
    calls: list[tuple[int, float]] = dataclasses.field(default_factory=list)

    def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
        self.calls.append((len(targets), float(noise.sum())))
        swapped = targets.copy()
        swapped[:, 6:20, 5:19] = self.inner(targets, sources, noise)[:, 6:20, 5:19]
        return swapped

    def reconstruct(self, crops: Crops) -> Crops | None:
        half: Crops = crops // 2
        return half if self.reconstructs else None


def perfect() -> FakeModel:
    return FakeModel(lambda target, source, noise: source)


def idle() -> FakeModel:
    return FakeModel(lambda target, source, noise: target)
