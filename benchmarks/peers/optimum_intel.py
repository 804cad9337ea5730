# /// script
# dependencies = ["optimum-intel[openvino]>=2.2", "numpy"]
# ///
"""Hugging Face's optimum-intel: `OVModelForCustomTasks` around the same graph in OpenVINO."""

from __future__ import annotations

import tempfile
from pathlib import Path

import openvino as ov
from _worker import arguments, inputs, serve, versions

if __name__ == "__main__":
    from optimum.intel import OVModelForCustomTasks
    from transformers import PretrainedConfig

    options = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        graph = ov.convert_model(options.onnx)
        for port in graph.inputs:  # by which optimum calls them; conversion may add other names
            port.get_tensor().set_names({port.get_node().get_friendly_name()})
        ov.save_model(graph, Path(folder) / "openvino_model.xml", compress_to_fp16=False)
        PretrainedConfig().save_pretrained(folder)
        model = OVModelForCustomTasks.from_pretrained(
            folder,
            config=PretrainedConfig(),
            dynamic_shapes=False,  # the graph's own are kept: it makes no sequence of a timestep
            ov_config={
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": str(options.threads),
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        model.compile()
    feed = inputs(options)
    settings = {"threads": options.threads, "versions": versions("optimum-intel", "openvino")}
    raise SystemExit(serve({"unet": lambda: model(**feed)["output"]}, settings, options.answer))
