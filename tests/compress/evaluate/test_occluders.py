"""What stands before a face has scores of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeswap_compress.evaluate.config import EvaluateConfig
from edgeswap_compress.evaluate.stage import Evaluation


class OccludedDataset:
    """A dataset whose odd groups have something before the face, which the masks leave out."""

    def __init__(self, plain: Any) -> None:
        self._plain, self._bar = plain, np.zeros((24, 24), np.uint8)
        self._bar[10:14, 5:19] = 255

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def __len__(self) -> int:
        return len(self._plain)

    def occluders(self, group: int) -> NDArray[np.uint8]:
        bar = self._bar * np.uint8(group % 2)
        return np.broadcast_to(bar, (self._plain.pictures, 24, 24))

    def masks(self, group: int) -> NDArray[np.uint8]:
        masks: NDArray[np.uint8] = self._plain.masks(group) * (self.occluders(group) == 0)
        return masks

    def images(self, group: int) -> NDArray[np.uint8]:
        shown = np.array(self._plain.images(group))
        shown[self.occluders(group) > 0] = 200
        return shown


def test_what_stands_before_the_face_has_rows_of_its_own(
    fakes: Any, noise_dataset: Any, color_judge: Any, brightness_landmarker: Any, judged: Any
) -> None:
    assert "psnr_occluded_db" not in judged(fakes.perfect())
    evaluation = Evaluation(
        OccludedDataset(noise_dataset), EvaluateConfig(seeds=1), judge=color_judge,
        landmarker=brightness_landmarker,
    )  # fmt: skip
    kept = evaluation.judge(fakes.idle()).to_json()
    assert kept["psnr_occluded_db"] == 60.0
    ruined = evaluation.judge(fakes.FakeModel(lambda target, source, noise: 0 * target)).to_json()
    assert ruined["psnr_occluded_db"] == pytest.approx(20 * np.log10(255 / 200), abs=0.01)
    both = (ruined["psnr_face_covered_db"] + ruined["psnr_face_clear_db"]) / 2
    assert both == pytest.approx(ruined["psnr_face_db"])
