"""What a device can do at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """What a device can do at most, or what its maker says.

    Attributes:
        macs_per_s: multiply-accumulates, the better of matrix products and convolutions.
        cached_bytes_per_s: read and written, where the tensors fit the caches.
        memory_bytes_per_s: read and written, where they do not.
        kernel_s: what starting one more kernel costs.
        cache_bytes: up to how many bytes count as cached.
    """

    macs_per_s: float
    cached_bytes_per_s: float
    memory_bytes_per_s: float
    kernel_s: float
    cache_bytes: int = 8 * 1024 * 1024
