# /// script
# dependencies = ["openvino>=2025.0", "numpy"]
# ///
"""OpenVINO alone: `compile_model` for latency, computing in what the asked dtype says."""

from __future__ import annotations

import openvino as ov
from _worker import arguments, inputs, serve, versions

HINTS = {"float32": "f32", "bfloat16": "bf16"}

if __name__ == "__main__":
    options = arguments(__doc__)
    compiled = ov.Core().compile_model(
        options.onnx,
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": options.threads,
            "INFERENCE_PRECISION_HINT": HINTS[options.dtype],
        },
    )
    feed = inputs(options)
    settings = {"threads": options.threads, "dtype": options.dtype,
                "versions": versions("openvino")}  # fmt: skip
    raise SystemExit(serve({"unet": lambda: compiled(feed)[0]}, settings, options.answer))
