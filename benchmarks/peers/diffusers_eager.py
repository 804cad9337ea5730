# /// script
# dependencies = ["edgeswap[compress,export]"]
# ///
"""diffusers in torch, as it comes: eager mode."""

from __future__ import annotations

from _torch_unet import torch_unet
from _worker import arguments, serve, versions

if __name__ == "__main__":
    options = arguments(__doc__)
    settings = {"threads": options.threads, "dtype": options.dtype,
                "versions": versions("torch", "diffusers")}  # fmt: skip
    raise SystemExit(serve({"unet": torch_unet(options)}, settings, options.answer))
