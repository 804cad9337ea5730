"""Run a bundle's graphs on aligned crops: identity, encode, denoise, decode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from edgeswap_runtime._clock import timed
from edgeswap_runtime.backends.protocol import Backend, BufferT
from edgeswap_runtime.bundle.manifest import DETECTOR
from edgeswap_runtime.errors import GraphFailed, InvalidRequest
from edgeswap_runtime.sampler import noise_source, sample_latents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgeswap_runtime._clock import StageClock
    from edgeswap_runtime.bundle.manifest import Manifest, Schedule


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Identity:
    """What the denoiser needs of a source face; made once, used for any number of swaps.

    Attributes:
        tokens: (1, T, D) float32, the tokens for cross-attention.
        vector: (1, V) float32, the vector that modulates every block.
        source_latents: (1, C, S, S) float32, the aligned crop encoded by the autoencoder.
    """

    tokens: NDArray[np.float32]
    vector: NDArray[np.float32]
    source_latents: NDArray[np.float32]


class CropSwapper(Generic[BufferT]):
    """Swaps aligned crops with one bundle on one backend.

    Latents, tokens and crops stay in the backend's buffers from graph to graph; only the sample, a
    few kilobytes, comes back to numpy between evaluations of the denoiser.

    Args:
        manifest: of the bundle.
        backend: has its graphs loaded.
        schedule: which table to sample by.
        seed: of the noise each crop starts from.
    """

    def __init__(
        self, manifest: Manifest, backend: Backend[BufferT], *, schedule: Schedule, seed: int
    ) -> None:
        self.manifest = manifest
        self.schedule = schedule
        self.seed = seed
        self._backend = backend
        self._condition: tuple[Identity, dict[str, BufferT]] | None = None
        shape = manifest.graphs["denoise"].input("sample").shape
        self._latent_shape = tuple(1 if isinstance(size, str) else size for size in shape)  # batch
        self.canvas = _canvas(manifest)

    def detector(self, tensor: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Run the detector graph.

        Args:
            tensor: (1, 3, h, w) float32, BGR, 0..255.

        Returns:
            its 12 outputs by name.
        """
        outputs = self._backend.run(DETECTOR, {"input": self._backend.upload(tensor)})
        return {name: self._backend.download(buffer) for name, buffer in outputs.items()}

    def identity(
        self, crops: Sequence[NDArray[np.uint8]], *, clock: StageClock | None = None
    ) -> Identity:
        """Read the identity from one or several aligned crops, averaged.

        Args:
            crops: each (R, R, 3) uint8, RGB.
            clock: times the stage identity.
        """
        parts: dict[str, list[NDArray[Any]]] = {"tokens": [], "vector": [], "source_latents": []}
        with timed(clock, "identity"):
            for crop in crops:
                inputs = {"source": self._backend.upload(self._to_tensor(crop))}
                outputs = self._backend.run("identity", inputs)
                for name, found in parts.items():
                    found.append(self._backend.download(outputs[name]))
        return Identity(**{name: np.mean(found, axis=0) for name, found in parts.items()})

    def swap(
        self,
        crop: NDArray[np.uint8],
        identity: Identity,
        *,
        noise: NDArray[np.float32] | None = None,
        clock: StageClock | None = None,
    ) -> NDArray[np.float32]:
        """Swap one aligned crop.

        Args:
            crop: (R, R, 3) uint8, RGB.
            identity: from `identity`.
            noise: (1, C, S, S) to start from; drawn from the seed when None.
            clock: times encode, denoise and decode.

        Returns:
            (R, R, 3) float32, RGB, 0..255, not clipped.

        Raises:
            GraphFailed: the graphs gave NaN or infinity.
        """
        if noise is not None:
            noise = self._checked_noise(noise)
        backend = self._backend
        with timed(clock, "encode"):
            encoded = backend.run("encode", {"target": backend.upload(self._to_tensor(crop))})
        latents = encoded["target_latents"]
        with timed(clock, "denoise"):
            sample = self._denoise({"target_latents": latents, **self._upload(identity)}, noise)
        with timed(clock, "decode"):
            inputs = {"sample": backend.upload(sample), "target_latents": latents}
            decoded = backend.download(backend.run("decode", inputs)["crop"])
        if not np.isfinite(decoded).all():
            raise GraphFailed("the backend", "decode", "it gave values that are not finite")
        values: NDArray[np.float32] = (decoded[0].transpose(1, 2, 0) + 1) * np.float32(127.5)
        return values

    def forget(self) -> None:
        """Drop the buffers of the last identity."""
        self._condition = None

    def _denoise(
        self, held: dict[str, BufferT], noise: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        backend = self._backend

        def evaluate(sample: NDArray[np.float32], timestep: float) -> NDArray[np.float32]:
            inputs = {
                "sample": backend.upload(sample),
                "timestep": backend.upload(np.array([timestep], dtype=np.float32)),
                **held,
            }
            return backend.download(backend.run("denoise", inputs)["output"])

        return sample_latents(
            self.schedule, evaluate, noise_source(self.seed, self._latent_shape, noise)
        )

    def _upload(self, identity: Identity) -> dict[str, BufferT]:
        """Upload the identity (and the guidance scale); kept until another identity comes."""
        if self._condition is None or self._condition[0] is not identity:
            upload = self._backend.upload
            names = ("tokens", "vector", "source_latents")
            for name in names:
                self._check_part(name, getattr(identity, name))
            buffers = {name: upload(getattr(identity, name)) for name in names}
            if any(tensor.name == "guidance" for tensor in self.manifest.graphs["denoise"].inputs):
                scale = np.array([self.manifest.guidance_scale], dtype=np.float32)
                buffers["guidance"] = upload(scale)
            self._condition = (identity, buffers)
        return self._condition[1]

    def _check_part(self, name: str, part: object) -> None:
        """Check that an identity is of this model, or of one with the same sizes."""
        stated = self.manifest.graphs["denoise"].input(name).shape
        found = part.shape if isinstance(part, np.ndarray) else None
        fits = found is not None and len(found) == len(stated)
        if fits and found is not None:
            pairs = zip(found, stated, strict=True)
            fits = all(isinstance(b, str) or a == b for a, b in pairs)
        if not fits or part.dtype != np.float32:  # type: ignore[attr-defined]
            raise InvalidRequest(
                f"the identity's {name} are of shape {found}, expected {stated} float32: read the "
                "identity with the same bundle"
            )

    def _checked_noise(self, noise: object) -> NDArray[np.float32]:
        found = noise.shape if isinstance(noise, np.ndarray) else None
        if found != self._latent_shape:
            raise InvalidRequest(f"noise has shape {found}, expected {self._latent_shape}")
        values = np.asarray(noise)
        if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise InvalidRequest("noise holds what is no finite number, expected standard normal")
        return values.astype(np.float32)

    def _to_tensor(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        side = self.manifest.resolution_px
        if not isinstance(crop, np.ndarray):
            raise InvalidRequest(
                f"the crop is of type {type(crop).__name__}, expected an array {(side, side, 3)} "
                "uint8, RGB"
            )
        if crop.shape != (side, side, 3) or crop.dtype != np.uint8:
            raise InvalidRequest(
                f"the crop is {crop.shape} {crop.dtype}, expected {(side, side, 3)} uint8, RGB"
            )
        scaled = crop.astype(np.float32) / np.float32(127.5) - 1
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def _canvas(manifest: Manifest) -> tuple[int, int] | None:
    """Return the detector's fixed (height, width); None where it takes any, or is missing."""
    if DETECTOR not in manifest.graphs:
        return None
    sizes = _fixed(manifest.graphs[DETECTOR].input("input").shape[2:])
    return (sizes[0], sizes[1]) if len(sizes) == 2 else None


def _fixed(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    """Return the sizes of a shape that are numbers."""
    return tuple(size for size in shape if isinstance(size, int))
