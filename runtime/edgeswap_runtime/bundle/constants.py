"""Read the arrays that a bundle's graphs take as constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.bundle._shape_checks import check_shape
from edgeswap_runtime.bundle.schema import SchemaError
from edgeswap_runtime.errors import BadBundle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.folder import Bundle


def read_constants(bundle: Bundle) -> dict[str, NDArray[np.float32]]:
    """Read the file of every role `constant:FILE.npy`.

    Returns:
        role -> array, float32 and finite, of the shape that the manifest states.

    Raises:
        BadBundle: a file is no such array.
    """
    found: dict[str, NDArray[np.float32]] = {}
    for name, graph in bundle.manifest.graphs.items():
        for tensor in graph.inputs:
            role = tensor.parsed_role
            if role.kind != "constant":
                continue
            if tensor.role not in found:
                found[tensor.role] = _read(bundle, role.name)
            try:
                check_shape(f"{name}.{tensor.name}", tensor.shape, found[tensor.role].shape)
            except SchemaError as error:
                raise BadBundle(bundle.path, f"{error} as {role.name} has") from error
    return found


def _read(bundle: Bundle, file: str) -> NDArray[np.float32]:
    """Read one array; a header that promises more than the file holds is refused by the map."""
    try:
        mapped = np.load(bundle.path / file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise BadBundle(bundle.path, f"{file} is no array of numpy ({error})") from error
    if not isinstance(mapped, np.ndarray) or mapped.dtype != np.float32 or mapped.ndim == 0:
        kind = getattr(mapped, "dtype", type(mapped).__name__)
        raise BadBundle(bundle.path, f"{file} holds {kind}, expected an array of float32")
    values = np.array(mapped)
    if not np.isfinite(values).all():
        raise BadBundle(bundle.path, f"{file} holds values that are not finite")
    return values
