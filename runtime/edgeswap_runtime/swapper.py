"""Swap faces: a bundle opened on a backend."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_runtime._arguments import (
    as_path,
    as_rgb,
    is_choice,
    is_path,
    name_of,
    require_faces,
    require_identity,
    require_seed,
    require_several,
    several_pictures,
)
from edgeswap_runtime._clock import timed
from edgeswap_runtime._crop_swapper import CropSwapper, Identity
from edgeswap_runtime._opening import (
    FaceReader,
    open_bundle,
    open_named_backend,
    require_options,
    require_schedule,
)
from edgeswap_runtime.backends.threads import require_threads
from edgeswap_runtime.bundle.constants import read_constants
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.faces.align import to_uint8
from edgeswap_runtime.faces.detail import detail_to_keep
from edgeswap_runtime.faces.detect import Face, as_choice
from edgeswap_runtime.faces.judge import swappable
from edgeswap_runtime.faces.light import in_normal_light
from edgeswap_runtime.faces.paste import face_mask, paste
from edgeswap_runtime.faces.watermark import watermark_for
from edgeswap_runtime.identities.convert import identity_file_of, load_identity
from edgeswap_runtime.pictures.extras import extras_of, with_extras
from edgeswap_runtime.pictures.mark import Mark, software
from edgeswap_runtime.pictures.write import write_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime._clock import StageClock
    from edgeswap_runtime.backends.protocol import Backend
    from edgeswap_runtime.bundle.manifest import Schedule
    from edgeswap_runtime.pictures.credentials import ContentSigner

    PictureLike = Path | str | NDArray[np.uint8]
    FaceChoice = str | int | Sequence[Face]


class Swapper(FaceReader):
    """Swaps faces with one bundle on one backend.

    A context manager: it holds inference sessions and device memory until `close`. With the same
    bundle, backend, schedule and seed, the same pictures give the same bytes, whatever was swapped
    before. Several threads may share one: it works for one of them at a time, while the others
    wait; only reading and writing files goes on beside. For swaps side by side open several.

    Args:
        bundle: the opened bundle.
        backend: runs its graphs.
        schedule: a name from the manifest's `schedules`; its default when None.
        seed: of the noise each crop starts from.

    Attributes:
        watermark: added to every pasted crop; None turns it off, and is so for tiny crops.
        keep_detail: True gives faces larger than the crop the target's own fine detail.
        signer: signs the pictures that `save` writes; None signs nothing.

    Raises:
        InvalidRequest: the bundle has no schedule of that name, or the seed is not 0 to 2**64 - 1.
    """

    def __init__(
        self, bundle: Bundle, backend: Backend[Any], *, schedule: str | None = None, seed: int = 0
    ) -> None:
        self.schedule_name = require_schedule(bundle, schedule)
        self.seed = require_seed(seed)
        crops = CropSwapper(
            bundle.manifest,
            backend,
            schedule=bundle.manifest.schedules[self.schedule_name],
            seed=self.seed,
            constants=read_constants(bundle),
        )
        super().__init__(bundle, backend, crops)
        self._mask = face_mask(bundle.manifest.mask)
        model = bundle.manifest.model_crop
        self.watermark = watermark_for(model.landmarks_px, model.size_px)
        self.keep_detail = False
        self.signer: ContentSigner | None = None

    @classmethod
    def open(
        cls,
        bundle: Bundle | Path | str | None = None,
        *,
        backend: Backend[Any] | str = "ort",
        device: str = "cpu",
        schedule: str | None = None,
        seed: int = 0,
        threads: int | None = None,
        precision: str | None = None,
    ) -> Swapper:
        """Open a bundle and the backend that runs it.

        Args:
            bundle: a bundle folder, whose hashes are then verified, or one already opened; the
                packaged one when None.
            backend: a name such as "ort", or a backend of your own, which stays yours to close.
            device: what a named backend runs on: "cpu", "cuda", "tensorrt", ...
            schedule: how many steps of which sampler, by name; the bundle's default when None.
            seed: of the noise.
            threads: CPU threads of a named backend, at most 4 for each core of the machine; its own
                choice when None.
            precision: what a named backend is to compute in, where it has a choice; the graphs'
                own when None.

        Raises:
            BadBundle: the bundle is damaged, or not one.
            BackendMissing: no such backend, or it is not installed.
            DeviceNotGranted: the device is not there.
            PrecisionNotGranted: the backend does not compute in that precision.
            EngineMissing: the backend needs engines, and the bundle holds none that fit.
            InvalidRequest: no such schedule, seed or number of threads.
        """
        seed, threads = require_seed(seed), require_threads(threads)
        require_options(backend, device=device, schedule=schedule, precision=precision)
        opened = open_bundle(bundle)
        if not isinstance(backend, str):
            return cls(opened, backend, schedule=schedule, seed=seed)
        running = open_named_backend(
            backend, opened, device=device, threads=threads, precision=precision
        )
        try:
            swapper = cls(opened, running, schedule=schedule, seed=seed)
        except BaseException:
            running.close()
            raise
        swapper._owns_backend = True
        return swapper

    @property
    def schedule(self) -> Schedule:
        """The schedule in use."""
        return self.bundle.manifest.schedules[self.schedule_name]

    @property
    def resolution_px(self) -> int:
        """The side of an aligned crop."""
        return self.bundle.manifest.resolution_px

    @property
    def mark(self) -> Mark:
        """The mark of pictures that this swapper makes."""
        return Mark(software=software(), bundle_sha256=self.bundle.manifest.manifest_sha256)

    def identity(
        self, source: PictureLike | Sequence[PictureLike], *, clock: StageClock | None = None
    ) -> Identity:
        """Read the identity of the source person from the largest face of each picture.

        Several pictures are averaged, before what follows from them is computed. That steadies
        embeddings; but where the bundle encodes the source's crop itself (`source_latents`), it is
        averaged position by position, which only makes sense for pictures of like pose and light.
        One good picture is the usual choice.

        Args:
            source: one picture, as a path or (H, W, 3) uint8 RGB, or several; or one file that
                `edgeswap identity` wrote.
            clock: times the stages detect, align and identity.

        Raises:
            NoFaceFound: in one of them.
            DetectorMissing: the bundle is for aligned crops only; see `identity_of_crops`.
            UnreadablePicture: a path that cannot be read.
        """
        if (file := identity_file_of(source)) is not None:
            return load_identity(file, self.bundle)
        seen = []
        for picture in several_pictures(source):
            rgb = as_rgb(picture)
            with self._in_use():
                with timed(clock, "detect"):
                    (face,), _ = self.choose(rgb, name=name_of(picture))
                with timed(clock, "align"):
                    seen.append(self._faces.crops(rgb, face, "source"))
        with self._in_use():
            return self._crops.identity(seen, clock=clock)

    def identity_of_face(self, picture: PictureLike, face: Face) -> Identity:
        """Read the identity of one face that was found already.

        Args:
            picture: a path, or (H, W, 3) uint8, RGB.
            face: from `detect` or `choose`.
        """
        rgb = as_rgb(picture)
        (face,) = require_faces([face], rgb)
        with self._in_use():
            return self._crops.identity([self._faces.crops(rgb, face, "source")])

    def identity_of_crops(
        self, crops: Sequence[NDArray[np.uint8]], *, clock: StageClock | None = None
    ) -> Identity:
        """Read the identity as `identity` does, from crops that are aligned already.

        Where the bundle looks at other crops of the source, they are cut out of these.

        Args:
            crops: each (R, R, 3) uint8, RGB, R = `resolution_px`.
            clock: times the stage identity.
        """
        several = [self._crops.aligned(crop, "source") for crop in require_several(crops)]
        with self._in_use():
            return self._crops.identity(several, clock=clock)

    def swap(
        self,
        target: PictureLike,
        identity: Identity,
        *,
        faces: FaceChoice = "largest",
        force: bool = False,
        clock: StageClock | None = None,
    ) -> NDArray[np.uint8]:
        """Swap the identity into faces of a picture.

        Args:
            target: a path, or (H, W, 3) uint8, RGB.
            identity: from `identity`.
            faces: "largest", "all", the number of faces to swap, largest first, "#K" for the K-th
                from the left, or faces from `detect`.
            force: swap also faces that `judge` says the model cannot swap; they are left alone
                otherwise. Faces that are handed over are swapped in any case.
            clock: times the stages detect, align, encode, denoise, decode and paste.

        Returns:
            (H, W, 3) uint8, RGB, a new array; outside the mask its bytes are the target's. What
            belongs to the target's file (color profile, camera, alpha) goes along, for `save`.

        Raises:
            NoFaceFound: fewer faces than asked for.
            NothingSwapped: all chosen faces would be left alone.
            DetectorMissing: the bundle is for aligned crops only, see `swap_crop`, and `faces` are
                to be found.
            UnreadablePicture: a path that cannot be read.
            InvalidRequest: `faces` or the array is not of the stated form.
        """
        identity = require_identity(identity)
        choice = as_choice(faces) if is_choice(faces) else None
        given = as_rgb(target)
        picture = np.asarray(given)
        with self._in_use():
            if choice is None:
                chosen = require_faces(faces, picture)
            else:
                with timed(clock, "detect"):
                    judged = self._faces.judge(picture, choice, name_of(target))
                    chosen = swappable(judged, name_of(target), force=force)
            swapped = self._swap_faces(picture, chosen, identity, clock)
        return with_extras(swapped, extras_of(given))

    def swap_crop(
        self,
        target_crop: NDArray[np.uint8],
        identity: Identity,
        *,
        noise: NDArray[np.float32] | None = None,
        clock: StageClock | None = None,
        keep_occluders: bool = False,
    ) -> NDArray[np.uint8]:
        """Swap a crop that is aligned already, without mask or paste.

        Where the model says what of the target stays (hair, glasses, a hand), that is not applied
        either, unless asked for: the whole crop is what `decode` gives. Other crops that the bundle
        looks at are cut out of this one.

        Args:
            target_crop: (R, R, 3) uint8, RGB, R = `resolution_px`.
            identity: from `identity` or `identity_of_crops`.
            noise: (1, C, S, S) float32, standard normal, to start from; drawn from the seed when
                None. What later rows of a stochastic schedule need is drawn from the seed.
            clock: times the stages encode, denoise and decode.
            keep_occluders: leave the target's own pixels where the model says that they stay.

        Returns:
            (R, R, 3) uint8, RGB.
        """
        identity = require_identity(identity)
        face = self._crops.aligned(target_crop, "target")
        with self._in_use():
            found = self._crops.swap(face, identity, noise=noise, clock=clock)
        if found.alpha is None or not keep_occluders:
            return to_uint8(found.crop)
        target = target_crop.astype(np.float32)
        return to_uint8(target + found.alpha[..., None] * (found.crop - target))

    def save(
        self,
        picture: NDArray[np.uint8],
        path: Path | str,
        *,
        icc_profile: bytes | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write a swapped picture, marked as generated; see `write_picture`.

        Color profile, camera, dates and alpha of the target's file are written too, where `swap`
        was given a path or what `read_picture` read.

        Args:
            picture: (H, W, 3) uint8, RGB.
            path: ends in .png, .jpg, .jpeg or .webp.
            icc_profile: the color space of the numbers, instead of the target's.
            overwrite: replace an existing file.
        """
        if is_path(picture):
            raise InvalidRequest(f"save takes an array, found the path {picture}")
        write_picture(
            as_path(path, "path"),
            as_rgb(picture),
            self.mark,
            icc_profile=icc_profile,
            extras=extras_of(picture),
            signer=self.signer,
            overwrite=overwrite,
        )

    def _swap_faces(
        self,
        picture: NDArray[np.uint8],
        faces: Sequence[Face],
        identity: Identity,
        clock: StageClock | None,
    ) -> NDArray[np.uint8]:
        swapped: NDArray[np.uint8] = picture.copy()
        each = self._pool.map
        swap = partial(self._crops.swap, identity=identity, clock=clock)
        for face in faces:
            with timed(clock, "align"):
                crops = self._faces.crops(picture, face, "target")
                matrix = self._faces.to_model_crop(face)
            done = in_normal_light(crops, swap)
            crop = self.watermark.add(done.crop) if self.watermark else done.crop
            with timed(clock, "paste"):
                detail = detail_to_keep(crop, crops.model, matrix) if self.keep_detail else None
                alpha, mask = done.alpha, self._mask
                paste(swapped, crop, matrix, mask, alpha=alpha, detail=detail, each=each)
        return swapped
