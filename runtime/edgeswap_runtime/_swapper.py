"""The public door: a bundle opened on a backend, ready to swap faces."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_runtime._align import similarity, to_uint8, warp
from edgeswap_runtime._bundle import Bundle
from edgeswap_runtime._clock import timed
from edgeswap_runtime._detect import Face, check_choice, detect_faces, select_faces
from edgeswap_runtime._engine import Engine, Identity
from edgeswap_runtime._errors import DetectorMissing, InvalidRequest
from edgeswap_runtime._manifest import DETECTOR
from edgeswap_runtime._mark import Mark
from edgeswap_runtime._paste import paste
from edgeswap_runtime._picture import read_picture, write_picture
from edgeswap_runtime._refine import refine_face
from edgeswap_runtime.backends import open_backend
from edgeswap_runtime.backends._protocol import BackendRequest
from edgeswap_runtime.bundles import default_bundle

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from edgeswap_runtime._clock import StageClock
    from edgeswap_runtime._manifest import Schedule
    from edgeswap_runtime.backends._protocol import Backend

    PictureLike = Path | str | NDArray[np.uint8]
    FaceChoice = str | int | Sequence[Face]


class Swapper:
    """Swaps faces with one bundle on one backend.

    A context manager: it holds inference sessions and device memory until `close`. Not for use by
    several threads at once. With the same bundle, backend, schedule and seed, the same pictures
    give the same bytes, whatever was swapped before.

    Args:
        bundle: the opened bundle.
        backend: runs its graphs.
        schedule: a name from the manifest's `schedules`; its default when None.
        seed: of the noise each crop starts from.

    Raises:
        InvalidRequest: the bundle has no schedule of that name.
    """

    def __init__(
        self, bundle: Bundle, backend: Backend[Any], *, schedule: str | None = None, seed: int = 0
    ) -> None:
        manifest = bundle.manifest
        name = manifest.default_schedule if schedule is None else schedule
        if name not in manifest.schedules:
            raise InvalidRequest(
                f"{bundle.path} has no schedule '{name}': expected one of "
                f"{', '.join(sorted(manifest.schedules))}"
            )
        self.bundle = bundle
        self.schedule_name = name
        self.seed = seed
        self._backend = backend
        self._owns_backend = False
        self._engine = Engine(manifest, backend, schedule=self.schedule, seed=seed)
        self._template = np.array(manifest.alignment.landmarks_px)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="edgeswap-warp")

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
            threads: CPU threads of a named backend; its own choice when None.
            precision: what a named backend is to compute in, where it has a choice; the graphs'
                own when None.

        Raises:
            BadBundle: the bundle is damaged, or not one.
            BackendMissing: no such backend, or it is not installed.
            DeviceNotGranted: the device is not there.
            PrecisionNotGranted: the backend does not compute in that precision.
            EngineMissing: the backend needs engines, and the bundle holds none that fit.
            InvalidRequest: no such schedule.
        """
        folder = default_bundle() if bundle is None else bundle
        opened = folder if isinstance(folder, Bundle) else Bundle.open(folder)
        if not isinstance(backend, str):
            return cls(opened, backend, schedule=schedule, seed=seed)
        request = BackendRequest(
            graphs=opened.graph_paths(),
            device=device,
            threads=threads,
            precision=precision,
            bundle=opened,
        )
        running = open_backend(backend, request)
        try:
            swapper = cls(opened, running, schedule=schedule, seed=seed)
        except BaseException:
            running.close()
            raise
        swapper._owns_backend = True
        return swapper

    def __enter__(self) -> Swapper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the backend's memory back, if `open` took it; calling it again does nothing."""
        self._engine.forget()
        self._pool.shutdown()
        if self._owns_backend:
            self._backend.close()

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
        """What pictures made by this swapper say of themselves."""
        return Mark(
            software=f"edgeswap {importlib.metadata.version('edgeswap')}",
            bundle_sha256=self.bundle.manifest.manifest_sha256,
        )

    def detect(self, picture: PictureLike) -> tuple[Face, ...]:
        """Find the faces of a picture, largest first.

        Args:
            picture: a path, or (H, W, 3) uint8, RGB.

        Raises:
            DetectorMissing: the bundle is for aligned crops only.
            UnreadablePicture: a path that cannot be read.
        """
        rgb = _as_rgb(picture)
        return tuple(self._refine(rgb, face) for face in self._detect(rgb))

    def identity(
        self, source: PictureLike | Sequence[PictureLike], *, clock: StageClock | None = None
    ) -> Identity:
        """Read who is in the source, from the largest face of each picture.

        Several pictures are averaged. That steadies `tokens` and `vector`, but averages
        `source_latents` position by position, which only makes sense for aligned crops of like pose
        and light; one good picture is the usual choice.

        Args:
            source: one picture, as a path or (H, W, 3) uint8 RGB, or several.
            clock: times the stages detect, align and identity.

        Raises:
            NoFaceFound: in one of them.
            DetectorMissing: the bundle is for aligned crops only; see `identity_of_crops`.
            UnreadablePicture: a path that cannot be read.
        """
        single = isinstance(source, str | Path | np.ndarray)
        pictures: Sequence[PictureLike] = [source] if single else source  # type: ignore[list-item,assignment]
        if not pictures:
            raise InvalidRequest("identity needs at least one picture, found none")
        crops = []
        for picture in pictures:
            rgb = _as_rgb(picture)
            with timed(clock, "detect"):
                (face,) = self._choose(rgb, "largest", _name(picture))
            with timed(clock, "align"):
                crops.append(self._align(rgb, face)[0])
        return self.identity_of_crops(crops, clock=clock)

    def identity_of_crops(
        self, crops: Sequence[NDArray[np.uint8]], *, clock: StageClock | None = None
    ) -> Identity:
        """As `identity`, of crops that are aligned already.

        Args:
            crops: each (R, R, 3) uint8, RGB, R = `resolution_px`.
            clock: times the stage identity.
        """
        return self._engine.identity(crops, clock=clock)

    def swap(
        self,
        target: PictureLike,
        identity: Identity,
        *,
        faces: FaceChoice = "largest",
        clock: StageClock | None = None,
    ) -> NDArray[np.uint8]:
        """Give faces of a picture another identity.

        Args:
            target: a path, or (H, W, 3) uint8, RGB.
            identity: from `identity`.
            faces: "largest", "all", the number of faces to swap, largest first, or faces from
                `detect`.
            clock: times the stages detect, align, encode, denoise, decode and paste.

        Returns:
            (H, W, 3) uint8, RGB, a new array; outside the mask its bytes are the target's.

        Raises:
            NoFaceFound: fewer faces than asked for.
            DetectorMissing: the bundle is for aligned crops only, see `swap_crop`, and `faces` are
                to be found.
            UnreadablePicture: a path that cannot be read.
            InvalidRequest: `faces` or the array is not of the stated form.
        """
        picture = _as_rgb(target)
        if isinstance(faces, str | int):
            check_choice(faces)
            with timed(clock, "detect"):
                chosen = self._choose(picture, faces, _name(target))
        else:
            chosen = tuple(faces)
        swapped: NDArray[np.uint8] = picture.copy()
        for face in chosen:
            with timed(clock, "align"):
                crop, matrix = self._align(picture, face)
            result = self._engine.swap(crop, identity, clock=clock)
            with timed(clock, "paste"):
                paste(swapped, result, matrix, self.bundle.manifest.mask, each=self._pool.map)
        return swapped

    def swap_crop(
        self,
        target_crop: NDArray[np.uint8],
        identity: Identity,
        *,
        noise: NDArray[np.float32] | None = None,
        clock: StageClock | None = None,
    ) -> NDArray[np.uint8]:
        """Swap a crop that is aligned already, without mask or paste.

        Args:
            target_crop: (R, R, 3) uint8, RGB, R = `resolution_px`.
            identity: from `identity` or `identity_of_crops`.
            noise: (1, C, S, S) float32, standard normal, to start from; drawn from the seed when
                None. What later rows of a stochastic schedule need is drawn from the seed.
            clock: times the stages encode, denoise and decode.

        Returns:
            (R, R, 3) uint8, RGB.
        """
        return to_uint8(self._engine.swap(target_crop, identity, noise=noise, clock=clock))

    def save(
        self,
        picture: NDArray[np.uint8],
        path: Path | str,
        *,
        icc_profile: bytes | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write a swapped picture, marked as generated; see `write_picture`."""
        write_picture(Path(path), picture, self.mark, icc_profile=icc_profile, overwrite=overwrite)

    def _detect(self, picture: NDArray[np.uint8]) -> tuple[Face, ...]:
        if DETECTOR not in self.bundle.manifest.graphs:
            raise DetectorMissing(self.bundle.path)
        return detect_faces(picture, self._engine.detector, canvas=self._engine.canvas)

    def _refine(self, picture: NDArray[np.uint8], face: Face) -> Face:
        return refine_face(picture, face, self._engine.detector, canvas=self._engine.canvas)

    def _choose(self, picture: NDArray[np.uint8], faces: str | int, name: str) -> tuple[Face, ...]:
        """The faces asked for; only these are looked at twice."""
        chosen = select_faces(self._detect(picture), faces, name)
        return tuple(self._refine(picture, face) for face in chosen)

    def _align(
        self, picture: NDArray[np.uint8], face: Face
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        matrix = similarity(face.landmarks_px, self._template)
        return warp(picture, matrix, self.resolution_px, each=self._pool.map), matrix


def _as_rgb(picture: PictureLike) -> NDArray[np.uint8]:
    if isinstance(picture, str | Path):
        return read_picture(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise InvalidRequest(
            f"the picture is {picture.shape} {picture.dtype}, "
            "expected (height, width, 3) uint8, RGB"
        )
    return picture


def _name(picture: PictureLike) -> str:
    return str(picture) if isinstance(picture, str | Path) else "the picture"
