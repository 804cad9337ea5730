# /// script
# dependencies = ["polygraphy>=0.49", "tensorrt", "numpy"]
# ///
"""NVIDIA's Polygraphy: TensorRT on a GPU, the engine built from the same ONNX file."""

from __future__ import annotations

from _worker import arguments, inputs, serve, versions

if __name__ == "__main__":
    from polygraphy.backend.trt import EngineFromNetwork, NetworkFromOnnxPath, TrtRunner

    options = arguments(__doc__)
    network = NetworkFromOnnxPath(str(options.onnx), strongly_typed=True)
    feed = inputs(options)
    settings = {"versions": versions("polygraphy", "tensorrt")}
    with TrtRunner(EngineFromNetwork(network)) as runner:
        raise SystemExit(
            serve({"unet": lambda: runner.infer(feed)["output"]}, settings, options.answer)
        )
