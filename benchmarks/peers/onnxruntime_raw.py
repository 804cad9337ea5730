# /// script
# dependencies = ["onnxruntime>=1.20", "numpy"]
# ///
"""ONNX Runtime alone: `session.run` with its own defaults, and the asked number of threads."""

from __future__ import annotations

import onnxruntime as ort
from _worker import arguments, inputs, serve, versions

if __name__ == "__main__":
    options = arguments(__doc__)
    session_options = ort.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    session = ort.InferenceSession(
        str(options.onnx), session_options, providers=["CPUExecutionProvider"]
    )
    feed = inputs(options)
    settings = {"threads": options.threads, "versions": versions("onnxruntime")}
    raise SystemExit(serve({"unet": lambda: session.run(None, feed)[0]}, settings, options.answer))
