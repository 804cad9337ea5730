"""The error tree: builtins, one-line messages, pickling, the drawing in the docstring."""

from __future__ import annotations

import inspect
import pickle

import pytest

from edgeswap_runtime import errors
from edgeswap_runtime.errors import EdgeswapError, EdgeswapFailure

EXAMPLES = [
    errors.OutputExists("out"),
    errors.InvalidRequest("faces is 0, expected 1"),
    errors.BadFolder(
        "b", what="bundle", expected="a folder", found="a file", make="edgeswap export"
    ),
    errors.DegenerateLandmarks([[0, 0]]),
    errors.NoFaceFound("a.png", found=1, wanted=3),
    errors.NothingSwapped("a.png", ["#1 profile 72°"]),
    errors.NobodyAlike("a.png", "b.png", found="0.5 at most", expected="0.9"),
    errors.BadIdentity("a.identity", "it is cut short"),
    errors.DetectorMissing("b"),
    errors.UnreadablePicture("a.png", "it is empty"),
    errors.PictureMissing("a.png"),
    errors.PictureTooLarge("a.png", width_px=20_000, height_px=20_000, limit_px=64_000_000),
    errors.UnreadableFilm("a.mp4", "it is empty"),
    errors.UnsupportedFilm("a.mp4", "it is HDR"),
    errors.EncoderNotGranted("x", "there is no such encoder"),
    errors.CameraNotGranted("0", "there is no such camera"),
    errors.BadBundle("b", "it holds nothing"),
    errors.NewerSchema("b", found=2, known=1),
    errors.DamagedFile("b", "x.onnx", expected="sha256 00", found="sha256 11"),
    errors.BatchRefused("no face found in a.png: use another"),
    errors.BackendMissing("x", known=["ort"]),
    errors.GraphFailed("onnxruntime", "encode", "a shape does not fit"),
    errors.DeviceNotGranted("cuda", granted=["CPUExecutionProvider"], install="edgeswap doctor"),
    errors.EngineMissing("b", "denoise", wanted="SM86", held="none", make="edgeswap engine"),
    errors.PrecisionNotGranted("bf16", granted=["fp32"], by="openvino", hint="ask for it"),
]


def _classes() -> list[type[EdgeswapError]]:
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    return [c for c in found if issubclass(c, EdgeswapError) and c is not EdgeswapError]


def test_every_class_has_an_example() -> None:
    assert {type(example) for example in EXAMPLES} == set(_classes())


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_each_inherits_a_builtin_and_says_one_line(error: EdgeswapError) -> None:
    others = [base for base in type(error).__mro__ if base.__module__ == "builtins"]
    assert set(others) - {Exception, BaseException, object}
    assert "\n" not in str(error)
    assert len(str(error)) > 20


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_each_survives_pickling(error: EdgeswapError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.__dict__ == error.__dict__


def test_the_drawn_tree_is_the_tree() -> None:
    drawing = errors.__doc__ or ""
    for kind in (*_classes(), EdgeswapError, EdgeswapFailure):
        assert kind.__name__ in drawing
    assert not issubclass(EdgeswapFailure, EdgeswapError)


def test_messages_name_what_was_found() -> None:
    by_type = {type(example).__name__: str(example) for example in EXAMPLES}
    assert "20000 x 20000 is 400.0 megapixels, the limit is 64.0" in by_type["PictureTooLarge"]
    assert "pip install --upgrade edgeswap" in by_type["NewerSchema"]
    assert "only 1 face found in a.png, expected at least 3" in by_type["NoFaceFound"]
    assert str(errors.NoFaceFound("a")).startswith("no face found in a:")
    assert "expected one of ort" in by_type["BackendMissing"]
    missing = errors.BackendMissing("ort", known=["ort"], install="pip install x")
    assert str(missing) == "backend 'ort' is not installed: pip install x"
