"""Check what `Swapper.open` is given, and open the bundle and the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeswap_runtime._arguments import as_path, require_word
from edgeswap_runtime.backends import open_backend
from edgeswap_runtime.backends.protocol import BackendRequest
from edgeswap_runtime.backends.threads import require_threads
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

    from edgeswap_runtime.backends.protocol import Backend


def open_bundle(bundle: Bundle | Path | str | None) -> Bundle:
    """Open a bundle's folder and verify its hashes; None names the packaged one.

    Raises:
        InvalidRequest: it is neither a path nor a bundle.
        EdgeswapError: as from `Bundle.open`.
    """
    folder = default_bundle() if bundle is None else bundle
    return folder if isinstance(folder, Bundle) else Bundle.open(as_path(folder, "bundle"))


def require_options(
    backend: object, *, device: object, schedule: object, precision: object
) -> None:
    """Raise InvalidRequest unless names are names, and the backend is a name or can run graphs."""
    for name, word in (("schedule", schedule), ("precision", precision), ("device", device)):
        require_word(word, name)
    if not isinstance(backend, str) and not hasattr(backend, "run"):
        raise InvalidRequest(f"backend is {backend!r}, expected a name or a backend")


def require_schedule(bundle: Bundle, name: object) -> str:
    """Return the name of a bundle's schedule, its default for None.

    Raises:
        InvalidRequest: it has none of that name.
    """
    require_word(name, "schedule")
    manifest = bundle.manifest
    chosen = manifest.default_schedule if name is None else str(name)
    if chosen not in manifest.schedules:
        raise InvalidRequest(
            f"{bundle.path} has no schedule '{chosen}': expected one of "
            f"{', '.join(sorted(manifest.schedules))}"
        )
    return chosen


def open_named_backend(
    name: str, bundle: Bundle, *, device: str, threads: int | None, precision: str | None
) -> Backend[Any]:
    """Open a backend of the table `BACKENDS` with all graphs of a bundle.

    Raises:
        EdgeswapError: as from `open_backend`.
    """
    request = BackendRequest(
        graphs=bundle.graph_paths(),
        device=device,
        threads=require_threads(threads),
        precision=precision,
        bundle=bundle,
    )
    return open_backend(name, request)
