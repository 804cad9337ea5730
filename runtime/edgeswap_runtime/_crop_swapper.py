"""Run a bundle's graphs on the crops of a face, in the order that their roles ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from edgeswap_runtime._clock import timed
from edgeswap_runtime.backends.protocol import Backend, BufferT
from edgeswap_runtime.bundle.roles import output_role, parse_role
from edgeswap_runtime.bundle.run_order import DECODE, DENOISE, DETECTOR, ENCODE, find_run_order
from edgeswap_runtime.errors import GraphFailed, InvalidRequest
from edgeswap_runtime.faces.crops import (
    SwappedCrop,
    crops_of_aligned,
    from_tensor,
    require_crop,
    to_tensor,
)
from edgeswap_runtime.faces.keypoints import keypoints_tensor
from edgeswap_runtime.sampler import TargetLatents, noise_source, sample_latents

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from edgeswap_runtime._clock import StageClock
    from edgeswap_runtime.bundle.manifest import Manifest, Schedule
    from edgeswap_runtime.faces.crops import FaceCrops


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Identity:
    """What a bundle needs of a source face; made once, used for any number of swaps.

    Attributes:
        arrays: the outputs of the graphs that looked at the source, and that the graphs which look
            at targets take: role, such as "output:identity/tokens", -> float32, of a batch of 1.
            Averaged over the photos.
    """

    arrays: Mapping[str, NDArray[np.float32]]

    def named(self, tensor: str) -> NDArray[np.float32]:
        """Return the array of an output's name, such as "tokens".

        Raises:
            KeyError: there is none, or several graphs give one of that name.
        """
        found = [key for key in self.arrays if key.partition("/")[2] == tensor]
        if len(found) != 1:
            raise KeyError(tensor)
        return self.arrays[found[0]]


class CropSwapper(Generic[BufferT]):
    """Swaps the crops of a face with one bundle on one backend.

    What fills each input of a graph follows from its role. Latents, tokens and crops stay in the
    backend's buffers from graph to graph; only the sample, a few kilobytes, comes back to numpy
    between evaluations of the denoiser.

    Args:
        manifest: of the bundle.
        backend: has its graphs loaded.
        schedule: which table to sample by.
        seed: of the noise each crop starts from.
        constants: from `read_constants`.
    """

    def __init__(
        self,
        manifest: Manifest,
        backend: Backend[BufferT],
        *,
        schedule: Schedule,
        seed: int,
        constants: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        self.manifest = manifest
        self.schedule = schedule
        self.seed = seed
        self.order = find_run_order(manifest.graphs)
        self._backend = backend
        self._constants = dict(constants or {})
        self._fixed: dict[str, BufferT] = {}
        self._condition: tuple[Identity, dict[str, BufferT]] | None = None
        denoise = manifest.graphs[DENOISE]
        self._sample, self._timestep = (
            next(t for t in denoise.inputs if t.role == role) for role in ("sample", "timestep")
        )
        shape = self._sample.shape
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

    def aligned(self, crop: object, part: str) -> FaceCrops:
        """Check a crop that is aligned already, and cut the other crops out of it.

        Args:
            crop: (R, R, 3) uint8, RGB.
            part: "source" or "target".

        Raises:
            InvalidRequest: it is no such array.
        """
        checked = require_crop(crop, self.manifest.resolution_px)
        return crops_of_aligned(checked, self.manifest.crops, self.order.crops(part))

    def identity(self, faces: Sequence[FaceCrops], *, clock: StageClock | None = None) -> Identity:
        """Read the identity from one or several photos' faces, averaged.

        Args:
            faces: each with the crops of the source that the bundle names.
            clock: times the stage identity.
        """
        order = self.order
        needed = {t.role for name in order.per_source for t in self.manifest.graphs[name].inputs}
        needed |= set(order.identity)
        found: dict[str, list[NDArray[Any]]] = {}
        with timed(clock, "identity"):
            for face in faces:
                held = self._look(order.source_roles, face)
                self._run_all(order.per_photo, held)
                for role in sorted(needed & set(held)):
                    if parse_role(role).kind == "output":
                        found.setdefault(role, []).append(self._backend.download(held[role]))
            arrays = {role: np.mean(values, axis=0) for role, values in found.items()}
            held = {role: self._backend.upload(values) for role, values in arrays.items()}
            self._run_all(order.per_source, held)
            for role in order.identity:
                if role not in arrays:
                    arrays[role] = self._backend.download(held[role])
        return Identity(arrays={role: arrays[role] for role in order.identity})

    def swap(
        self,
        face: FaceCrops,
        identity: Identity,
        *,
        noise: NDArray[np.float32] | None = None,
        clock: StageClock | None = None,
    ) -> SwappedCrop:
        """Swap one face.

        Args:
            face: with the crops of the target that the bundle names.
            identity: from `identity`.
            noise: (1, C, S, S) to start from; drawn from the seed when None.
            clock: times encode, denoise and decode.

        Raises:
            GraphFailed: the graphs gave NaN or infinity.
        """
        if noise is not None:
            noise = self._checked_noise(noise)
        with timed(clock, "encode"):
            held = {**self._look(self.order.target_roles, face), **self._upload(identity)}
            self._run_all(self.order.per_target, held)
        with timed(clock, "denoise"):
            held["sample"] = self._backend.upload(self._denoise(held, noise))
        with timed(clock, "decode"):
            self._run_all((DECODE,), held)
            decoded = {
                tensor.name: self._backend.download(held[output_role(DECODE, tensor.name)])
                for tensor in self.manifest.graphs[DECODE].outputs
            }
        for values in decoded.values():
            if not np.isfinite(values).all():
                raise GraphFailed("the backend", DECODE, "it gave values that are not finite")
        alpha = decoded.get("alpha")
        return SwappedCrop(
            crop=from_tensor(decoded["crop"], self.manifest.model_crop),
            alpha=None if alpha is None else np.clip(alpha[0, 0], 0, 1),
        )

    def forget(self) -> None:
        """Drop the buffers of the last identity, and those of constants."""
        self._condition = None
        self._fixed = {}

    def _look(self, roles: Iterable[str], face: FaceCrops) -> dict[str, BufferT]:
        """Upload the crops and drawn keypoints that some roles ask for."""
        held = {}
        for text in roles:
            role = parse_role(text)
            spec = self.manifest.crops[role.name]
            if role.kind == "crop":
                tensor = to_tensor(face.crops[role.name], spec)
            else:
                tensor = keypoints_tensor(face.landmarks_px[role.name], spec.size_px)
            held[text] = self._backend.upload(tensor)
        return held

    def _run_all(self, names: Iterable[str], held: dict[str, BufferT]) -> None:
        """Run graphs in order on what is held by role, and add their outputs to it."""
        for name in names:
            for tensor, buffer in self._run(name, held).items():
                held[output_role(name, tensor)] = buffer

    def _run(self, name: str, held: Mapping[str, BufferT]) -> dict[str, BufferT]:
        fixed = self._fixed_buffers()
        inputs = {
            tensor.name: held[tensor.role] if tensor.role in held else fixed[tensor.role]
            for tensor in self.manifest.graphs[name].inputs
        }
        return self._backend.run(name, inputs)

    def _fixed_buffers(self) -> dict[str, BufferT]:
        """What no picture changes, by role: constants and the guidance scale; uploaded once."""
        if not self._fixed:
            scale = np.array([self.manifest.guidance_scale], dtype=np.float32)
            arrays = {**self._constants, "guidance": scale}
            self._fixed = {role: self._backend.upload(values) for role, values in arrays.items()}
        return self._fixed

    def _denoise(
        self, held: Mapping[str, BufferT], noise: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        backend = self._backend
        wanted = {**self._fixed_buffers(), **held}
        inputs = {
            tensor.name: wanted[tensor.role]
            for tensor in self.manifest.graphs[DENOISE].inputs
            if tensor.role not in ("sample", "timestep")
        }

        def evaluate(sample: NDArray[np.float32], timestep: float) -> NDArray[np.float32]:
            inputs[self._sample.name] = backend.upload(sample)
            inputs[self._timestep.name] = backend.upload(np.array([timestep], dtype=np.float32))
            return backend.download(backend.run(DENOISE, inputs)["output"])

        return sample_latents(
            self.schedule,
            evaluate,
            noise_source(self.seed, self._latent_shape, noise),
            target=self._target_latents(held),
        )

    def _target_latents(self, held: Mapping[str, BufferT]) -> TargetLatents | None:
        """What the schedule starts from or blends in; None where it does neither."""
        if not self.schedule.needs_target:
            return None
        names = ("target_latents", *(("latent_mask",) if self.schedule.blends else ()))
        return TargetLatents(
            *(self._backend.download(held[output_role(ENCODE, name)]) for name in names)
        )

    def _upload(self, identity: Identity) -> dict[str, BufferT]:
        """Upload the identity; kept until another one comes."""
        if self._condition is None or self._condition[0] is not identity:
            for role in self.order.identity:
                self._check_part(role, identity.arrays.get(role))
            upload = self._backend.upload
            buffers = {role: upload(identity.arrays[role]) for role in self.order.identity}
            self._condition = (identity, buffers)
        return self._condition[1]

    def _check_part(self, text: str, part: object) -> None:
        """Check that an identity is of this model, or of one with the same sizes."""
        role = parse_role(text)
        stated = self.manifest.graphs[role.name].output(role.part).shape
        found = part.shape if isinstance(part, np.ndarray) else None
        fits = found is not None and len(found) == len(stated)
        if fits and found is not None:
            pairs = zip(found, stated, strict=True)
            fits = all(isinstance(b, str) or a == b for a, b in pairs)
        if not fits or part.dtype != np.float32:  # type: ignore[attr-defined]
            raise InvalidRequest(
                f"the identity's {role.part} are of shape {found}, expected {stated} float32: read "
                "the identity with the same bundle"
            )

    def _checked_noise(self, noise: object) -> NDArray[np.float32]:
        found = noise.shape if isinstance(noise, np.ndarray) else None
        if found != self._latent_shape:
            raise InvalidRequest(f"noise has shape {found}, expected {self._latent_shape}")
        values = np.asarray(noise)
        if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise InvalidRequest("noise holds what is no finite number, expected standard normal")
        return values.astype(np.float32)


def _canvas(manifest: Manifest) -> tuple[int, int] | None:
    """Return the detector's fixed (height, width); None where it takes any, or is missing."""
    if DETECTOR not in manifest.graphs:
        return None
    sizes = _fixed(manifest.graphs[DETECTOR].input("input").shape[2:])
    return (sizes[0], sizes[1]) if len(sizes) == 2 else None


def _fixed(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    """Return the sizes of a shape that are numbers."""
    return tuple(size for size in shape if isinstance(size, int))
