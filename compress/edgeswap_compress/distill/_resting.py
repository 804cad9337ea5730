"""What waits in the host's memory while a student learns."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.fit.machine.savings import brought, move


class RestingModels:
    """What waits in the host's memory while a student learns, where offloading is asked for.

    The autoencoders, unless a loss decodes in every step; the teacher, where the method has sampled
    it already and no loss looks at its features.
    """

    def __init__(self, student: Checkpoint, teacher: Checkpoint, config: DistillConfig) -> None:
        asked, losses = config.fit.offload, config.losses
        self._device = device_of(student.unet)
        self._decodes = asked and losses.fine_weight == 0
        self._answers = asked and config.method == "trajectory" and losses.feature_weight == 0
        self._autoencoders = [student.vae, teacher.vae]
        self._teacher = [m for name, m in teacher.modules().items() if name != "vae"]
        self._began = False

    def begin(self) -> None:
        """Send everything that rests to the host."""
        self._began = True
        for modules, rests in ((self._autoencoders, self._decodes), (self._teacher, self._answers)):
            if rests:
                move(modules, torch.device("cpu"))

    def autoencoder(self) -> AbstractContextManager[None]:
        """Bring the autoencoders to the device for a block without gradients."""
        return brought(self._autoencoders, self._device, rest=self._decodes and self._began)

    def teacher(self) -> AbstractContextManager[None]:
        """Bring the teacher to the device for a block without gradients."""
        return brought(self._teacher, self._device, rest=self._answers and self._began)

    def end(self) -> None:
        """Bring the autoencoders back for good: the decoder is about to learn."""
        if self._decodes:
            move(self._autoencoders, self._device)
        self._decodes = False
