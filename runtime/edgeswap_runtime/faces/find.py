"""Find the faces of a picture with a bundle's detector, and cut aligned crops of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.bundle.manifest import MODEL_CROP
from edgeswap_runtime.bundle.run_order import find_run_order
from edgeswap_runtime.errors import DetectorMissing
from edgeswap_runtime.faces.align import similarity, warp
from edgeswap_runtime.faces.crops import cut_crops
from edgeswap_runtime.faces.detect import detect_faces, from_left, select_faces
from edgeswap_runtime.faces.judge import JudgedFace, estimate_yaw, find_problem
from edgeswap_runtime.faces.look import overlap
from edgeswap_runtime.faces.paste import face_mask
from edgeswap_runtime.faces.refine import (
    look_again,
    needs_no_look,
    refine_face,
    turn_upright,
)
from edgeswap_runtime.faces.search import search_faces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.faces.align import Each
    from edgeswap_runtime.faces.crops import FaceCrops
    from edgeswap_runtime.faces.detect import Face, RunDetector


_SAME_FACE = 0.3


class FaceFinder:
    """Detects faces, refines their landmarks, and cuts the aligned crops that a bundle takes.

    Args:
        bundle: states the crop's size and where the landmarks lie in it.
        run: the detector graph, as `detect_faces` takes it; None where the bundle has none.
        canvas: (height, width) the detector is fixed to; None when it takes any.
        each: as for `resample`.
    """

    def __init__(
        self,
        bundle: Bundle,
        run: RunDetector | None,
        *,
        canvas: tuple[int, int] | None,
        each: Each = map,
    ) -> None:
        self._bundle = bundle
        self._run = run
        self._canvas = canvas
        self._each = each
        self._order = find_run_order(bundle.manifest.graphs)
        self._template = np.array(bundle.manifest.model_crop.landmarks_px)

    def find_all(
        self, picture: NDArray[np.uint8], near: Sequence[Face] = (), *, everywhere: bool = True
    ) -> tuple[Face, ...]:
        """Find all faces of a picture, largest first, each with refined landmarks.

        Args:
            picture: (H, W, 3) uint8, RGB.
            near: faces of the film's last frame, where they are expected; each costs at most one
                view of its own.
            everywhere: search for small faces and turned pictures; False takes one look at the
                picture shrunk to 640 px.

        Raises:
            DetectorMissing: the bundle is for aligned crops only.
        """
        run = self._detector()
        if everywhere:
            found = self._detect(picture, small=True)
        else:
            found = detect_faces(picture, run, canvas=self._canvas)
        kept = [face for face in found if near and needs_no_look(picture, face)]
        for face in near:
            if all(overlap(face, one) <= _SAME_FACE for one in kept):
                again = look_again(picture, face, run, canvas=self._canvas)
                if again is not None and all(overlap(again, one) <= _SAME_FACE for one in kept):
                    kept.append(again)
        new = [face for face in found if all(overlap(face, one) <= _SAME_FACE for one in kept)]
        kept += [self._refine(picture, face) for face in new]
        return tuple(sorted(kept, key=lambda face: -face.area_px)) if near else tuple(kept)

    def choose(
        self, picture: NDArray[np.uint8], faces: str | int, name: str
    ) -> tuple[tuple[Face, ...], int]:
        """Find some faces of a picture; only these are refined.

        Args:
            picture: (H, W, 3) uint8, RGB.
            faces: "largest", "all", how many, largest first, or "#K" for the K-th from the left.
            name: how to call the picture in messages.

        Returns:
            the faces, and how many there are in all.

        Raises:
            DetectorMissing: the bundle is for aligned crops only.
            NoFaceFound: there are fewer than asked for.
        """
        found = self._detect(picture, small=faces != "largest")
        chosen = select_faces(found, faces, name)
        return tuple(self._refine(picture, face) for face in chosen), len(found)

    def judge(
        self, picture: NDArray[np.uint8], faces: str | int, name: str
    ) -> tuple[JudgedFace, ...]:
        """Find all faces of a picture, and judge whether the chosen ones can be swapped.

        Args:
            picture: (H, W, 3) uint8, RGB.
            faces: as for `choose`.
            name: how to call the picture in messages.

        Returns:
            all faces, left to right.

        Raises:
            DetectorMissing: the bundle is for aligned crops only.
            NoFaceFound: there are fewer than asked for.
        """
        found = self._detect(picture, small=faces != "largest")
        chosen = {id(face) for face in select_faces(found, faces, name)}
        return tuple(
            self._judge_one(picture, face, number)
            if id(face) in chosen
            else JudgedFace(number=number, face=face, chosen=False)
            for number, face in enumerate(from_left(found), start=1)
        )

    def align(
        self, picture: NDArray[np.uint8], face: Face, name: str = MODEL_CROP
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Cut one aligned crop of a face.

        Args:
            picture: (H, W, 3) uint8, RGB.
            face: its landmarks in the picture.
            name: of a crop in the bundle's manifest.

        Returns:
            the crop (S, S, 3) uint8 RGB, and the (2, 3) matrix from picture to crop.

        Raises:
            DegenerateLandmarks: no similarity transform follows from the landmarks.
        """
        spec = self._bundle.manifest.crops[name]
        matrix = similarity(face.landmarks_px, np.array(spec.landmarks_px))
        return warp(picture, matrix, spec.size_px, each=self._each), matrix

    def crops(self, picture: NDArray[np.uint8], face: Face, part: str) -> FaceCrops:
        """Cut the aligned crops of a face that the bundle's graphs look at.

        Args:
            picture: (H, W, 3) uint8, RGB.
            face: its landmarks in the picture.
            part: "source" or "target"; of the target the crop that is swapped is always cut.

        Raises:
            DegenerateLandmarks: no similarity transform follows from the landmarks.
        """
        specs = self._bundle.manifest.crops
        names = {*self._order.crops(part), *((MODEL_CROP,) if part == "target" else ())}
        return cut_crops(picture, face.landmarks_px, specs, sorted(names), each=self._each)

    def to_model_crop(self, face: Face) -> NDArray[np.float64]:
        """Return the (2, 3) matrix from the picture to the crop that is swapped and pasted."""
        return similarity(face.landmarks_px, self._template)

    def _detect(self, picture: NDArray[np.uint8], *, small: bool) -> tuple[Face, ...]:
        return search_faces(picture, self._detector(), canvas=self._canvas, small=small)

    def _judge_one(self, picture: NDArray[np.uint8], face: Face, number: int) -> JudgedFace:
        refined = self._refine(picture, face)
        manifest = self._bundle.manifest
        problem = find_problem(
            picture,
            refined,
            matrix=self.to_model_crop(refined),
            mask=face_mask(manifest.mask),
            size_px=manifest.resolution_px,
        )
        return JudgedFace(
            number=number,
            face=refined,
            chosen=True,
            yaw_deg=estimate_yaw(refined.landmarks_px),
            problem=problem,
        )

    def _refine(self, picture: NDArray[np.uint8], face: Face) -> Face:
        run = self._detector()
        refined = refine_face(picture, face, run, canvas=self._canvas)
        return turn_upright(picture, refined, run, canvas=self._canvas)

    def _detector(self) -> RunDetector:
        if self._run is None:
            raise DetectorMissing(self._bundle.path)
        return self._run
