# /// script
# dependencies = ["edgeswap[compress,export]"]
# ///
"""diffusers in torch, compiled: `torch.compile` with Inductor, tuned for one shape."""

from __future__ import annotations

from functools import partial

import torch
from _torch_unet import torch_unet
from _worker import arguments, serve, versions

if __name__ == "__main__":
    options = arguments(__doc__)
    call = torch_unet(options, partial(torch.compile, mode="max-autotune-no-cudagraphs"))
    settings = {"threads": options.threads, "dtype": options.dtype,
                "versions": versions("torch", "diffusers")}  # fmt: skip
    raise SystemExit(serve({"unet": call}, settings, options.answer))
