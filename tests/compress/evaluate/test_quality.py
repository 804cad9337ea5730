"""What a build keeps of an evaluation in its bundle's manifest: figures and provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeswap_compress.evaluate.config import EvaluateConfig
from edgeswap_compress.evaluate.models import ModelFacts
from edgeswap_compress.evaluate.report import JUDGED, ROWS
from edgeswap_compress.evaluate.stage import Evaluation
from edgeswap_export.recipe._build import _quality
from edgeswap_runtime.bundle.manifest import Mask
from edgeswap_runtime.faces.align import TEMPLATE_96

Crops = NDArray[np.uint8]


@dataclass
class Perfect:
    """Shows the source."""

    facts: ModelFacts

    def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
        return sources

    def reconstruct(self, crops: Crops) -> Crops:
        return crops


def test_quality_holds_every_fact_of_a_real_evaluation(
    noise_dataset: Any, color_judge: Any, brightness_landmarker: Any
) -> None:
    facts = ModelFacts(
        kind="perfect", sha256="f" * 64, steps=1, guidance=1.0, sampler="none", precision="fp32",
        resolution_px=24, latent_shape=(2, 3, 3),
        landmarks_px=tuple((x / 4, y / 4) for x, y in TEMPLATE_96.tolist()),
        mask=Mask(center_px=(11.5, 11.5), radii_px=(40.0, 40.0), exponent=2.5, feather_px=0.0),
    )  # fmt: skip
    config = EvaluateConfig(seeds=1, resamples=100)
    evaluation = Evaluation(
        noise_dataset, config, judge=color_judge, landmarker=brightness_landmarker
    )
    report = evaluation.judge(Perfect(facts))
    written = report.to_json()
    found = _quality([written, {**written, "steps": 2, "psnr_face_db": 1.0}])
    assert {name: found.get(name) for name in report.facts} == report.facts
    assert found["psnr_face_db"] == written["psnr_face_db"] >= found["psnr_face_db_lo"]
    others = tuple(f"{row}_" for row in ROWS if row != JUDGED and row != "teacher")
    kept = {name for name in found if name.startswith(others)} - set(report.facts)
    assert kept == set()
    assert set(found) <= set(written)
