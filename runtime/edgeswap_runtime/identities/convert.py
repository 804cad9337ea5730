"""Turn identities into what is stored, and back; find identity files among sources."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeswap_runtime._crop_swapper import Identity
from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.identities.file import StoredIdentity, is_identity_file, read_identity
from edgeswap_runtime.pictures.mark import software

if TYPE_CHECKING:
    from edgeswap_runtime.bundle.folder import Bundle


def identity_file_of(source: object) -> Path | None:
    """Return the identity file that a source names, or None where it names photos.

    Args:
        source: one picture or path, or a sequence of them, as `Swapper.identity` takes it.

    Raises:
        InvalidRequest: an identity file beside photos or other identity files.
    """
    is_list = isinstance(source, Sequence) and not isinstance(source, str)
    several: list[object] = list(source) if is_list else [source]  # type: ignore[call-overload]
    files = [one for one in several if isinstance(one, str | os.PathLike) and _is_file(one)]
    if not files:
        return None
    if len(several) > 1:
        raise InvalidRequest(
            f"the source is {files[0]} and {len(several) - 1} more, expected one identity file "
            "alone: edgeswap identity makes one of several photos"
        )
    return Path(files[0])


def load_identity(path: Path, bundle: Bundle) -> Identity:
    """Read an identity file for a bundle.

    Raises:
        BadIdentity: there is no such file, it is damaged, or another bundle's.
    """
    stored = read_identity(path, bundle_sha256=bundle.manifest.manifest_sha256)
    return Identity(arrays=stored.arrays)


def store_identity(
    identity: Identity, bundle: Bundle, *, photos: Sequence[str] = ()
) -> StoredIdentity:
    """Return what an identity file is to hold of an identity.

    Args:
        identity: from `Swapper.identity`.
        bundle: what read it.
        photos: paths of the photos it was read from; only their names are kept.
    """
    return StoredIdentity(
        arrays=identity.arrays,
        bundle_sha256=bundle.manifest.manifest_sha256 or "",
        software=software(),
        photos=[Path(photo).name for photo in photos],
    )


def _is_file(path: str | os.PathLike[str]) -> bool:
    return is_identity_file(str(os.fspath(path)))
