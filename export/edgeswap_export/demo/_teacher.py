"""Swap with the teacher in torch; its swaps are pasted as the runtime pastes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeswap_compress import Checkpoint, SwapPipeline
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_runtime import Swapper
from edgeswap_runtime.bundle.manifest import Mask
from edgeswap_runtime.faces.align import similarity, warp
from edgeswap_runtime.faces.paste import face_mask, paste


class TorchTeacher:
    """The torch pipeline of a checkpoint.

    Args:
        checkpoint: in float32; converted to `dtype` in place.
        dtype: of the modules.
    """

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.swap_config = checkpoint.swap
        self._pipeline: Any = SwapPipeline.from_checkpoint(checkpoint.to(dtype))

    def swap_crop(
        self,
        target: NDArray[np.uint8],
        source: NDArray[np.uint8],
        seed: int = 0,
        steps: int | None = None,
    ) -> NDArray[np.float32]:
        """Swap one aligned crop with the checkpoint's guidance.

        Args:
            target: (R, R, 3) uint8 RGB.
            source: the same.
            seed: of the noise.
            steps: sampling steps; None takes the checkpoint's.

        Returns:
            (R, R, 3) float32 RGB, 0 to 255.
        """
        generator = torch.Generator().manual_seed(seed)
        output = self._pipeline(
            to_tensor(target[None]),
            to_tensor(source[None]),
            num_inference_steps=steps,
            generator=generator,
        )
        crop: NDArray[np.float32] = output.crops[0].permute(1, 2, 0).numpy()
        return (crop + 1.0) * 127.5

    def swap_picture(
        self, target: NDArray[np.uint8], source: NDArray[np.uint8], runtime: Swapper
    ) -> NDArray[np.uint8]:
        """Swap the largest face of a picture; the runtime detects and aligns.

        Args:
            target: (H, W, 3) uint8 RGB.
            source: (H, W, 3) uint8 RGB.
            runtime: detects the faces.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        swap = self.swap_config
        template = np.array(swap.landmarks_px)
        crops = []
        for picture in (target, source):
            face = runtime.detect(picture)[0]
            matrix = similarity(face.landmarks_px, template)
            crops.append((warp(picture, matrix, swap.resolution_px), matrix))
        swapped = self.swap_crop(crops[0][0], crops[1][0])
        result: NDArray[np.uint8] = target.copy()
        paste(result, swapped, crops[0][1], face_mask(Mask(**asdict(swap.mask))))
        return result
