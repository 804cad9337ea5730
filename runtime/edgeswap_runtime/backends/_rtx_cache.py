"""Keep the kernels that TensorRT for RTX compiles on the user's GPU in a cache file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.cache import cache_folder
from edgeswap_runtime.files import canonical_json, write_bytes

if TYPE_CHECKING:
    from edgeswap_runtime.backends.cuda import Gpu


class RtxCache:
    """The kernels compiled for one engine on one GPU with one driver, as a file.

    Args:
        key: the engine's.
        gpu: what it runs on.
        cuda: the module `cuda.bindings.runtime`.
    """

    def __init__(self, key: str, gpu: Gpu, cuda: Any) -> None:
        driver = cuda.cudaDriverGetVersion()[1]
        inputs = {"engine": key, "gpu": gpu.name, "architecture": gpu.architecture,
                  "driver": driver}  # fmt: skip
        name = hashlib.sha256(canonical_json(inputs)).hexdigest()
        self.file = cache_folder() / "tensorrt_rtx" / f"{name}.cache"
        self._cache: Any = None
        self._before = b""

    def attach(self, config: Any) -> None:
        """Load the cached kernels into a runtime configuration; TensorRT for RTX checks them."""
        self._cache = config.create_runtime_cache()
        if self.file.is_file():
            self._before = self.file.read_bytes()
            self._cache.deserialize(self._before)
        config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write the cache file if kernels were compiled since it was loaded."""
        now = bytes(self._cache.serialize())
        if now != self._before:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(self.file, now)
            self._before = now
