"""A bundle of another family: two crops, an embedding that is projected, a constant, a hint, alpha.

The recognizer gives the mean color of a 16 px crop; the projection squares it and adds a constant;
the swapped crop is filled with that. So every value that flows is known.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_runtime import BadBundle, Bundle, FakeBackend, Swapper
from edgeswap_runtime.bundle.manifest import CropSpec, Graph, Schedule, ScheduleRow, Tensor
from edgeswap_runtime.faces.align import similarity, transform_points
from edgeswap_runtime.faces.keypoints import keypoints_tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

FACE = 16
LATENT = (1, 3, 6, 6)
IMAGE_AXES = ("batch", "channel", "height", "width")
ADDED = np.array([[0.1, 0.2, -0.3]], np.float32)


def _tensor(name: str, *shape: int) -> Tensor:
    axes = IMAGE_AXES if len(shape) == 4 else ("batch", "channel")[: len(shape)]
    return Tensor(name=name, dtype="float32", shape=shape, axes=axes)


def _graphs(tiny: Any) -> dict[str, Graph]:
    side = tiny.SIDE
    embedding, tokens = _tensor("embedding", 1, 3), _tensor("tokens", 1, 3)

    def graph(name: str, inputs: dict[str, Tensor], outputs: tuple[Tensor, ...]) -> Graph:
        taken = tuple(tiny.with_role(tensor, role) for role, tensor in inputs.items())
        return Graph(file=f"{name}.onnx", precision="fp32", inputs=taken, outputs=outputs)

    return {
        "recognizer": graph(
            "recognizer",
            {"crop:face/source": _tensor("data", 1, 3, FACE, FACE)},
            (embedding,),
        ),
        "project": graph(
            "project",
            {"output:recognizer/embedding": embedding, "constant:added.npy": _tensor("add", 1, 3)},
            (tokens,),
        ),
        "encode": graph(
            "encode",
            {"crop:model/target": _tensor("target", 1, 3, side, side)},
            (_tensor("target_latents", *LATENT), _tensor("latent_mask", 1, 1, 6, 6)),
        ),
        "denoise": graph(
            "denoise",
            {
                "sample": _tensor("x", *LATENT),
                "timestep": _tensor("t", 1),
                "output:project/tokens": tokens,
                "keypoints:model/target": _tensor("hint", 1, 3, side, side),
            },
            (_tensor("output", *LATENT),),
        ),
        "decode": graph(
            "decode",
            {"sample": _tensor("z", *LATENT), "crop:model/target": _tensor("y", 1, 3, side, side)},
            (_tensor("crop", 1, 3, side, side), _tensor("alpha", 1, 1, side, side)),
        ),
        "detector": tiny.manifest().graphs["detector"],
    }


class Seen:
    """The graphs as functions, and what they were given."""

    def __init__(self, tiny: Any) -> None:
        self.inputs: dict[str, list[dict[str, NDArray[Any]]]] = {}
        side = tiny.SIDE
        self.alpha = np.zeros((1, 1, side, side), np.float32)
        self.alpha[..., : side // 2] = 1
        self.graphs: dict[str, Callable[..., dict[str, NDArray[Any]]]] = {
            "recognizer": lambda i: {"embedding": i["data"].mean((2, 3)) / 255},
            "project": lambda i: {"tokens": i["embedding"] ** 2 + i["add"]},
            "encode": lambda i: {
                "target_latents": i["target"].reshape(1, 3, 6, 4, 6, 4).mean((3, 5)),
                "latent_mask": (np.arange(36).reshape(1, 1, 6, 6) < 18).astype(np.float32),
            },
            "denoise": lambda i: {
                "output": i["tokens"][:, :, None, None] + np.zeros(LATENT, np.float32)
            },
            "decode": lambda i: {
                "crop": i["z"].repeat(4, 2).repeat(4, 3),
                "alpha": self.alpha,
            },
            "detector": tiny.fake_graphs()["detector"],
        }

    def backend(self) -> FakeBackend:
        def watched(name: str) -> Callable[..., dict[str, NDArray[Any]]]:
            def run(inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
                self.inputs.setdefault(name, []).append({k: v.copy() for k, v in inputs.items()})
                return self.graphs[name](inputs)

            return run

        return FakeBackend({name: watched(name) for name in self.graphs})


@pytest.fixture
def bundle(tiny: Any, tmp_path: Path) -> Bundle:
    np.save(tmp_path / "added.npy", ADDED)
    face = CropSpec(
        size_px=FACE,
        landmarks_px=tuple((x, y) for x, y in (tiny.TEMPLATE * 0.6 + 1).tolist()),
        mean=(0.0, 0.0, 0.0),
        std=(1 / 255,) * 3,
        color="BGR",
    )
    row = ScheduleRow(timestep=9.0, sample=0.0, output=1.0)
    blend = dataclasses.replace(row, sample=1.0, output=0.0, blend_signal=0.6, blend_noise=0.8)
    last = dataclasses.replace(row, sample=1.0, output=0.0, blend_signal=1.0)
    stated = tiny.manifest(
        crops={"model": tiny.MODEL, "face": face},
        graphs=_graphs(tiny),
        schedules={
            "one": Schedule(sampler="x", steps=1, initial_noise_scale=1.0, rows=(row,)),
            "keep": Schedule(
                sampler="x", steps=2, initial_noise_scale=0.3, start_signal=0.7, rows=(blend, last)
            ),
        },
    )
    return Bundle(path=tmp_path, manifest=stated)


@pytest.fixture
def seen(tiny: Any) -> Seen:
    return Seen(tiny)


def test_each_crop_is_cut_and_normalized_as_stated(
    bundle: Bundle, seen: Seen, photo: Any, tiny: Any
) -> None:
    source = photo(1)
    with Swapper.open(bundle, backend=seen.backend()) as swapper:
        swapper.identity(source)
        face = swapper.detect(source)[0]
        crop, _ = swapper._faces.align(source, face, "face")
    (given,) = seen.inputs["recognizer"]
    expected = crop[..., ::-1].astype(np.float32).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(given["data"], expected, rtol=1e-6)


def test_embeddings_are_averaged_before_they_are_projected(
    bundle: Bundle, seen: Seen, photo: Any
) -> None:
    with Swapper.open(bundle, backend=seen.backend()) as swapper:
        both = swapper.identity([photo(1), photo(3)])
    assert len(seen.inputs["recognizer"]) == 2 and len(seen.inputs["project"]) == 1
    means = [i["data"].mean((2, 3)) / 255 for i in seen.inputs["recognizer"]]
    expected = np.mean(means, axis=0) ** 2 + ADDED
    assert list(both.arrays) == ["output:project/tokens"]
    np.testing.assert_allclose(both.named("tokens"), expected, rtol=1e-5)
    assert np.abs(np.mean(np.square(means), axis=0) + ADDED - expected).max() > 1e-3


def test_alpha_keeps_what_lies_over_the_face(
    bundle: Bundle, seen: Seen, photo: Any, tiny: Any
) -> None:
    source, target = photo(1), photo(2)
    with Swapper.open(bundle, backend=seen.backend()) as swapper:
        identity = swapper.identity(source)
        half = swapper.swap(target, identity)
        seen.alpha[...] = 1
        whole = swapper.swap(target, identity)
        seen.alpha[...] = 0
        nothing = swapper.swap(target, identity)
        face = swapper.detect(target)[0]
    np.testing.assert_array_equal(nothing, target)
    y, x = np.mgrid[:64, :64]
    matrix = similarity(face.landmarks_px, tiny.TEMPLATE)
    across = transform_points(matrix, np.stack([x.ravel(), y.ravel()], 1))[:, 0].reshape(64, 64)
    left, right = across < tiny.SIDE / 2 - 2, across > tiny.SIDE / 2 + 1
    np.testing.assert_array_equal(half[left], whole[left])
    np.testing.assert_array_equal(half[right], target[right])
    assert (whole[right] != target[right]).any() and (whole[left] != target[left]).any()


def test_an_aligned_crop_gives_the_other_crops_and_is_not_masked_by_alpha(
    bundle: Bundle, seen: Seen, photo: Any, tiny: Any
) -> None:
    source, target = photo(1, tiny.SIDE, tiny.SIDE), photo(2, tiny.SIDE, tiny.SIDE)
    with Swapper.open(bundle, backend=seen.backend()) as swapper:
        identity = swapper.identity_of_crops([source])
        swapped = swapper.swap_crop(target, identity)
    assert seen.inputs["recognizer"][0]["data"].shape == (1, 3, FACE, FACE)
    hint = keypoints_tensor(np.array(tiny.TEMPLATE), tiny.SIDE)
    np.testing.assert_array_equal(seen.inputs["denoise"][0]["hint"], hint)
    expected = (identity.named("tokens")[0] + 1) * 127.5
    assert np.abs(swapped.astype(float) - expected).max() <= 0.51


def test_the_hint_shows_where_the_face_is(bundle: Bundle, seen: Seen, photo: Any) -> None:
    target = photo(2)
    with Swapper.open(bundle, backend=seen.backend()) as swapper:
        swapper.swap(target, swapper.identity(photo(1)))
        face = swapper.detect(target)[0]
        matrix = swapper._faces.to_model_crop(face)
    points = transform_points(matrix, face.landmarks_px)
    expected = keypoints_tensor(points, swapper.resolution_px)
    np.testing.assert_array_equal(seen.inputs["denoise"][0]["hint"], expected)


def test_a_schedule_starts_from_the_target_and_blends_it_in(
    bundle: Bundle, seen: Seen, photo: Any, tiny: Any
) -> None:
    target = photo(2, tiny.SIDE, tiny.SIDE)
    noise = np.random.default_rng(0).standard_normal(LATENT, dtype=np.float32)
    with Swapper.open(bundle, backend=seen.backend(), schedule="keep") as swapper:
        swapper.swap_crop(target, swapper.identity_of_crops([target]), noise=noise)
    first, second = (i["x"] for i in seen.inputs["denoise"])
    tensor = target.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
    z = tensor.reshape(1, 3, 6, 4, 6, 4).mean((3, 5))
    mask = (np.arange(36).reshape(1, 1, 6, 6) < 18).astype(np.float32)
    np.testing.assert_allclose(first, 0.7 * z + 0.3 * noise, atol=1e-6)
    blended = mask * first + (1 - mask) * (0.6 * z + 0.8 * noise)
    np.testing.assert_allclose(second, blended, atol=1e-6)
    end = mask * blended + (1 - mask) * z
    np.testing.assert_allclose(seen.inputs["decode"][0]["z"], end, atol=1e-6)
    np.testing.assert_allclose(seen.inputs["decode"][0]["y"], tensor, atol=1e-6)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (ADDED.astype(np.float64), "added.npy holds float64, expected an array of float32"),
        (ADDED[:, :2], r"project.add has shape \(1, 3\), expected \(1, 2\) as added.npy has"),
        (ADDED * np.inf, "added.npy holds values that are not finite"),
        (np.array([{}], dtype=object), "added.npy is no array of numpy"),
    ],
)
def test_constants_are_checked_when_the_bundle_opens(
    bundle: Bundle, seen: Seen, array: Any, message: str
) -> None:
    np.save(bundle.path / "added.npy", array)
    with pytest.raises(BadBundle, match=message):
        Swapper.open(bundle, backend=seen.backend())


def test_a_constant_that_promises_more_than_it_holds(bundle: Bundle, seen: Seen) -> None:
    path = bundle.path / "added.npy"
    path.write_bytes(path.read_bytes().replace(b"(1, 3)", b"(9, 9)"))
    with pytest.raises(BadBundle, match=r"added\.npy is no array of numpy"):
        Swapper.open(bundle, backend=seen.backend())
