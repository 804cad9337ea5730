"""Cut the named crops of a face that a bundle's graphs look at, and make tensors of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.bundle.manifest_parts import MODEL_CROP
from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.faces.align import similarity, transform_points, warp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.manifest_parts import CropSpec
    from edgeswap_runtime.faces.align import Each


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceCrops:
    """One face, as a bundle's graphs see it.

    Attributes:
        crops: name -> (S, S, 3) uint8, RGB, S the crop's `size_px`.
        landmarks_px: name -> (5, 2) float64, where the face's landmarks lie in that crop.
    """

    crops: Mapping[str, NDArray[np.uint8]]
    landmarks_px: Mapping[str, NDArray[np.float64]]

    @property
    def model(self) -> NDArray[np.uint8]:
        """The crop that is swapped; raises KeyError where it was not cut."""
        return self.crops[MODEL_CROP]

    def changed(self, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> FaceCrops:
        """Return the face with a function applied to each crop."""
        return replace(self, crops={name: change(crop) for name, crop in self.crops.items()})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SwappedCrop:
    """What `decode` gave.

    Attributes:
        crop: (R, R, 3) float32, RGB, 0..255, not clipped.
        alpha: (R, R) float32, 0..1, 1 where the swap replaces and 0 where the target's own pixels
            stay; None where the model does not say.
    """

    crop: NDArray[np.float32]
    alpha: NDArray[np.float32] | None = None


def cut_crops(
    picture: NDArray[np.uint8],
    landmarks_px: NDArray[np.floating],
    specs: Mapping[str, CropSpec],
    names: Iterable[str],
    *,
    each: Each = map,
) -> FaceCrops:
    """Cut crops of a face out of a picture.

    Args:
        picture: (H, W, 3) uint8, RGB.
        landmarks_px: (5, 2), the face's, in the picture.
        specs: name -> crop, of a bundle's manifest.
        names: which to cut.
        each: as for `resample`.

    Raises:
        DegenerateLandmarks: no similarity transform follows from the landmarks.
    """
    crops, landmarks = {}, {}
    for name in names:
        matrix = similarity(landmarks_px, np.array(specs[name].landmarks_px))
        crops[name] = warp(picture, matrix, specs[name].size_px, each=each)
        landmarks[name] = transform_points(matrix, landmarks_px)
    return FaceCrops(crops=crops, landmarks_px=landmarks)


def crops_of_aligned(
    crop: NDArray[np.uint8], specs: Mapping[str, CropSpec], names: Iterable[str]
) -> FaceCrops:
    """Make all crops of a face from its crop `model`, where there is no picture around it.

    The landmarks are taken to lie where the crop's template has them. What another crop shows
    beyond this one's border repeats its edge pixels.

    Args:
        crop: (R, R, 3) uint8, RGB, aligned.
        specs: name -> crop, of a bundle's manifest.
        names: which to make.
    """
    points = np.array(specs[MODEL_CROP].landmarks_px)
    others = [name for name in names if name != MODEL_CROP]
    cut = cut_crops(crop, points, specs, others)
    return FaceCrops(
        crops={MODEL_CROP: crop, **cut.crops},
        landmarks_px={MODEL_CROP: points, **cut.landmarks_px},
    )


def require_crop(crop: object, side: int) -> NDArray[np.uint8]:
    """Return an aligned crop, (side, side, 3) uint8; raise InvalidRequest for anything else."""
    expected = f"{(side, side, 3)} uint8, RGB"
    if not isinstance(crop, np.ndarray):
        raise InvalidRequest(
            f"the crop is of type {type(crop).__name__}, expected an array {expected}"
        )
    if crop.shape != (side, side, 3) or crop.dtype != np.uint8:
        raise InvalidRequest(f"the crop is {crop.shape} {crop.dtype}, expected {expected}")
    return crop


def to_tensor(crop: NDArray[np.uint8], spec: CropSpec) -> NDArray[np.float32]:
    """Make a graph's input of a crop.

    Args:
        crop: (S, S, 3) uint8, RGB.
        spec: states mean, standard deviation and color order.

    Returns:
        (1, 3, S, S) float32, (pixel / 255 - mean) / std.
    """
    ordered = crop if spec.color == "RGB" else crop[..., ::-1]
    scale, shift = _scale_and_shift(spec)
    scaled = ordered.astype(np.float32) / scale - shift
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def from_tensor(tensor: NDArray[np.float32], spec: CropSpec) -> NDArray[np.float32]:
    """Make a picture of what `decode` gives, the inverse of `to_tensor`.

    Args:
        tensor: (1, 3, S, S) float32.
        spec: of the crop.

    Returns:
        (S, S, 3) float32, RGB, 0..255, not clipped.
    """
    scale, shift = _scale_and_shift(spec)
    values: NDArray[np.float32] = (tensor[0].transpose(1, 2, 0) + shift) * scale
    return values if spec.color == "RGB" else np.ascontiguousarray(values[..., ::-1])


def _scale_and_shift(spec: CropSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(3,) what pixels are divided by, and what is subtracted from that."""
    mean, std = np.array(spec.mean), np.array(spec.std)
    return (255 * std).astype(np.float32), (mean / std).astype(np.float32)
