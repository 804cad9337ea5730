"""Triplets of one draw, in the latents of teacher and student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from edgeswap_compress.fit.material.pairs import Drawn


@dataclass(frozen=True, slots=True)
class TripletBatch:
    """Triplets of one draw.

    A student with a small autoencoder sees other latents of the target than its teacher, and so
    must add another residual to them. Samples are the student's throughout; ``offset`` is what the
    same swap's sample is more for the student than for the teacher.

    Attributes:
        drawn: the pairs' positions.
        features, own_features: what else teacher and student see, of all pictures.
        target, source: (N, C, S, S) float32 latents of the student's encoder.
        teacher_target, teacher_source: of the teacher's.
        truth: (N, C, S, S) float32, the wanted clean sample: it leads to the teacher's latents of
            the exact truth, or of the teacher's own answer where nobody knows one.
        offset: (N, C, S, S) float32; 0 where the autoencoders are one.
        weights: (N, 1, S, S) of the loss, mean 1.
        mask: (N, 1, S, S) in [0, 1], the faces of target and truth.
    """

    drawn: Drawn
    features: Mapping[str, Tensor]
    own_features: Mapping[str, Tensor]
    target: Tensor
    source: Tensor
    teacher_target: Tensor
    teacher_source: Tensor
    truth: Tensor
    offset: Tensor
    weights: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.target)
