# /// script
# dependencies = ["optimum-onnx[onnxruntime]>=0.1", "numpy"]
# ///
"""Hugging Face's optimum-onnx: `ORTModelForCustomTasks` around the same ONNX file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnxruntime as ort
from _worker import arguments, inputs, serve, versions

if __name__ == "__main__":
    from optimum.onnxruntime import ORTModelForCustomTasks
    from transformers import PretrainedConfig

    options = arguments(__doc__)
    session_options = ort.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    with tempfile.TemporaryDirectory() as folder:
        PretrainedConfig().save_pretrained(folder)
        for file in options.onnx.parent.glob(f"{options.onnx.name}*"):
            (Path(folder) / file.name).symlink_to(file.resolve())
        model = ORTModelForCustomTasks.from_pretrained(
            folder,
            config=PretrainedConfig(),
            file_name=options.onnx.name,
            session_options=session_options,
        )
    feed = inputs(options)
    settings = {"threads": options.threads, "versions": versions("optimum-onnx", "onnxruntime")}
    raise SystemExit(serve({"unet": lambda: model(**feed)["output"]}, settings, options.answer))
