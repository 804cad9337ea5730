"""Judge of identity beside the figures: a recognizer that is an ONNX file, and no loss."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.conditioning.crops import crop_of_template
from edgeswap_compress.conditioning.onnx_features import OnnxFeatures
from edgeswap_compress.conditioning.recrop import recrop
from edgeswap_compress.conditioning.specs import PictureFeature

SIDE_PX = 112


class OnnxJudge:
    """Compares faces by a recognizer of ArcFace's crops: 112 px, RGB in [-1, 1], one output.

    Gradients cannot pass through it, so no student can learn to please it.

    Args:
        file: the recognizer.
        swap: of the student, whose crops are judged.
    """

    def __init__(self, file: Path, swap: SwapConfig) -> None:
        self._feature = PictureFeature(graph="judge", file="judge.onnx", crop="arcface")
        self._run, self._swap = OnnxFeatures({"judge.onnx": file}), swap
        self._form = crop_of_template("arcface", SIDE_PX)

    def embed(self, crops: Tensor) -> Tensor:
        """Embed crops (N, 3, R, R) RGB in [-1, 1]: (N, D) of length 1."""
        cut = recrop(crops.float(), self._swap.model_crop, self._form)
        return F.normalize(self._run(self._feature, cut).float().flatten(1), dim=1)

    @torch.no_grad()
    def figures(self, student: Tensor, teacher: Tensor, source: Tensor) -> Mapping[str, float]:
        """Give mean cosines of the student's swaps with the teacher's and with the sources.

        Args:
            student: (N, 3, R, R) its swaps.
            teacher: (N, 3, R, R) the teacher's.
            source: (N, 3, R, R) the sources.
        """
        own, theirs, wanted = (self.embed(crops) for crops in (student, teacher, source))
        return {
            "fixed_identity_to_teacher": float((own * theirs).sum(1).mean()),
            "fixed_identity_to_source": float((own * wanted).sum(1).mean()),
            "fixed_teacher_identity_to_source": float((theirs * wanted).sum(1).mean()),
        }
