"""Define the errors that the runtime raises on purpose.

    EdgeswapError                  the caller's mistake or bad input; the command line exits with 2
    ├── OutputExists               (FileExistsError)
    ├── InvalidRequest             (ValueError)
    ├── BadFolder                  (ValueError)
    ├── DegenerateLandmarks        (ValueError)
    ├── NoFaceFound                (LookupError)
    ├── NothingSwapped             (ValueError)
    ├── NobodyAlike                (LookupError)
    ├── BadIdentity                (ValueError)
    ├── DetectorMissing            (LookupError)
    ├── UnreadablePicture          (ValueError)
    │   ├── PictureMissing         (FileNotFoundError)
    │   └── PictureTooLarge
    ├── UnreadableFilm             (ValueError)
    │   └── UnsupportedFilm
    ├── EncoderNotGranted          (RuntimeError)
    ├── CameraNotGranted           (RuntimeError)
    ├── BadBundle                  (ValueError)
    │   ├── NewerSchema
    │   └── DamagedFile
    ├── BatchRefused               (RuntimeError)
    ├── BackendMissing             (ImportError)
    ├── EngineMissing              (LookupError)
    ├── GraphFailed                (RuntimeError)
    ├── DeviceNotGranted           (RuntimeError)
    └── PrecisionNotGranted        (RuntimeError)
    EdgeswapFailure                our own failure; the command line exits with 1

Every message is one line: what happened, what was expected and found, what to type next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def _rebuild(kind: type[BaseException], message: str, state: dict[str, Any]) -> BaseException:
    # Looked up on the builtin: with two builtin bases, `kind.__new__` may find the wrong one.
    error = (OSError if issubclass(kind, OSError) else Exception).__new__(kind)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class _Pickles(Exception):
    """An exception whose constructor takes facts, not the message, and which still pickles."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), dict(self.__dict__))


class EdgeswapError(_Pickles):
    """The caller's mistake or bad input. The message says what to do next."""


class EdgeswapFailure(_Pickles):
    """A failure of edgeswap's own, such as a parity test that did not pass."""


class OutputExists(EdgeswapError, FileExistsError):
    """The output path is already taken; nothing was touched."""

    def __init__(
        self, path: Path | str, hint: str = "name another path, or remove it first"
    ) -> None:
        super().__init__(f"{path} already exists: {hint}")


class InvalidRequest(EdgeswapError, ValueError):
    """An argument has a value that is not possible."""


class BadFolder(EdgeswapError, ValueError):
    """A path leads to no folder, or to one that holds something else; see `require_folder`."""

    def __init__(
        self, path: Path | str, *, what: str, expected: str, found: str, make: str
    ) -> None:
        super().__init__(
            f"{path} is no {what}: expected {expected}, found {found}; make one with {make}"
        )


class DegenerateLandmarks(EdgeswapError, ValueError):
    """Landmarks from which no similarity transform follows."""

    def __init__(self, points: object) -> None:
        super().__init__(
            f"landmarks {points} define no similarity transform: expected finite, distinct points"
        )


class NoFaceFound(EdgeswapError, LookupError):
    """A picture holds no face, or fewer than were asked for."""

    def __init__(self, picture: str, *, found: int = 0, wanted: int = 1) -> None:
        self.found = found
        self.wanted = wanted
        seen = "no face" if found == 0 else f"only {found} face{'s' if found > 1 else ''}"
        asked = "" if wanted <= 1 else f", expected at least {wanted}"
        super().__init__(
            f"{seen} found in {picture}{asked}: "
            "use a picture in which the face is uncovered, turned to the camera and at least 14 px "
            "wide (with the longer side of a larger picture shrunk to 2560 px)"
        )


class NothingSwapped(EdgeswapError, ValueError):
    """All chosen faces are such as the model cannot swap; nothing was written."""

    def __init__(self, picture: str, problems: Sequence[str]) -> None:
        super().__init__(
            f"nothing swapped in {picture}: {', '.join(problems)}; choose other faces, or swap "
            "them nevertheless with --force (force=True)"
        )


class NobodyAlike(EdgeswapError, LookupError):
    """No face of a picture, or more than one, is the person of the reference photo."""

    def __init__(self, picture: str, reference: str, *, found: str, expected: str) -> None:
        super().__init__(
            f"nobody in {picture} is surely the person in {reference}: {found}, expected "
            f"{expected}; choose by place with --faces '#K'"
        )


class BadIdentity(EdgeswapError, ValueError):
    """A file is no identity, is damaged, or was read with another bundle."""

    def __init__(self, path: Path | str, why: str) -> None:
        super().__init__(
            f"{path} is no usable identity: {why}; make one for this bundle with edgeswap identity "
            "PHOTO OUT"
        )


class DetectorMissing(EdgeswapError, LookupError):
    """A bundle for aligned crops only is asked to find a face."""

    def __init__(self, bundle: Path | str) -> None:
        super().__init__(
            f"{bundle} holds no face detector, it takes aligned crops only: use swap_crop and "
            "identity_of_crops, or export the bundle again without --no-detector"
        )


class UnreadablePicture(EdgeswapError, ValueError):
    """A file is not a picture that can be decoded whole."""

    def __init__(self, path: Path | str, why: str) -> None:
        super().__init__(f"{path} cannot be read as a picture: {why}")


class PictureMissing(UnreadablePicture, FileNotFoundError):
    """The picture's path does not lead to a file."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, "there is no such file")


class PictureTooLarge(UnreadablePicture):
    """A picture has more pixels than the runtime accepts; read from its header alone."""

    def __init__(self, path: Path | str, *, width_px: int, height_px: int, limit_px: int) -> None:
        super().__init__(
            path,
            f"{width_px} x {height_px} is {width_px * height_px / 1e6:.1f} megapixels, "
            f"the limit is {limit_px / 1e6:.1f}: shrink it first",
        )


class UnreadableFilm(EdgeswapError, ValueError):
    """A file is not a film that can be decoded."""

    def __init__(self, path: Path | str, why: str) -> None:
        super().__init__(f"{path} cannot be read as a film: {why}")


class UnsupportedFilm(UnreadableFilm):
    """A film is of a kind whose pixels cannot be kept: HDR, interlaced, with alpha, ..."""


class EncoderNotGranted(EdgeswapError, RuntimeError):
    """The video encoder asked for is unknown, not on this machine, or does not fit the film."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"encoder '{name}' was not granted: {why}")


class CameraNotGranted(EdgeswapError, RuntimeError):
    """A camera, or a virtual one, is not there, not allowed, or stopped."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"camera '{name}' was not granted: {why}")


class BadBundle(EdgeswapError, ValueError):
    """A bundle's manifest or files are damaged, or contradict themselves."""

    def __init__(self, path: Path | str, why: str) -> None:
        super().__init__(f"{path} is not a usable bundle: {why}")


class NewerSchema(BadBundle):
    """The bundle was written by a newer edgeswap."""

    def __init__(self, path: Path | str, *, found: int, known: int) -> None:
        super().__init__(
            path,
            f"its schema is {found}, this edgeswap reads up to {known}: "
            "python -m pip install --upgrade edgeswap",
        )


class DamagedFile(BadBundle):
    """A file of the bundle is missing, unlisted, or differs from its recorded hash."""

    def __init__(self, path: Path | str, name: str, *, expected: str, found: str) -> None:
        super().__init__(
            path, f"{name}: expected {expected}, found {found}; export or copy the bundle again"
        )


class BatchRefused(EdgeswapError, RuntimeError):
    """A worker of a batch cannot open the bundle, the backend or a source; its own words."""


class BackendMissing(EdgeswapError, ImportError):
    """The backend asked for is unknown or not installed."""

    def __init__(self, name: str, *, known: Sequence[str], install: str | None = None) -> None:
        message = (
            f"backend '{name}' is not installed: {install}"
            if install
            else f"there is no backend '{name}': expected one of {', '.join(known)}"
        )
        super().__init__(message)


class EngineMissing(EdgeswapError, LookupError):
    """A bundle holds no TensorRT engine for this graph, GPU and library version."""

    def __init__(
        self, bundle: Path | str, graph: str, *, wanted: str, held: str, make: str
    ) -> None:
        super().__init__(
            f"{bundle} holds no engine of graph '{graph}' for {wanted}: it holds {held}; "
            f"make one with {make}"
        )


class GraphFailed(EdgeswapError, RuntimeError):
    """A graph of a bundle fits its manifest but fails when it runs, or gives NaN."""

    def __init__(self, by: str, graph: str, words: str) -> None:
        super().__init__(
            f"{by} failed in graph '{graph}': {words[:600]}; edgeswap verify BUNDLE tells whether "
            "the bundle is whole; another --backend or --device, whether this one is at fault"
        )


class DeviceNotGranted(EdgeswapError, RuntimeError):
    """The backend did not give the device that was asked for. There is no silent fallback."""

    def __init__(
        self, device: str, *, granted: Sequence[str], install: str, by: str = "onnxruntime"
    ) -> None:
        super().__init__(
            f"device '{device}' was not granted, {by} offers {', '.join(granted)}: {install}"
        )


class PrecisionNotGranted(EdgeswapError, RuntimeError):
    """The backend does not compute in the precision that was asked for."""

    def __init__(self, precision: str, *, granted: Sequence[str], by: str, hint: str) -> None:
        super().__init__(
            f"precision '{precision}' was not granted, {by} offers {', '.join(granted)}: {hint}"
        )
