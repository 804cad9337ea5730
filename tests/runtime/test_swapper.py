"""The public API on a bundle whose swap is known: the source's crop, pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_runtime import Bundle, FakeBackend, NoFaceFound, StageClock, Swapper
from edgeswap_runtime.errors import DetectorMissing, GraphFailed, InvalidRequest
from edgeswap_runtime.faces.align import similarity, transform_points, warp
from edgeswap_runtime.faces.paste import face_mask, mask_weights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def crop_swapper(tiny: Any, tmp_path: Path) -> Iterator[Swapper]:
    """A swapper, on ONNX Runtime, of a bundle for aligned crops only."""
    folder = tiny.write_bundle(tmp_path / "crops", graphs=tiny.crop_graphs())
    with Swapper.open(folder, threads=1) as opened:
        yield opened


def _mask_on(shape: tuple[int, ...], face: Any, tiny: Any) -> np.ndarray:
    """The mask's weight at each pixel of a picture."""
    matrix = similarity(face.landmarks_px, tiny.TEMPLATE)
    y, x = np.mgrid[: shape[0], : shape[1]]
    points = transform_points(matrix, np.stack([x.ravel(), y.ravel()], 1))
    return mask_weights(face_mask(tiny.MASK), points[:, 0], points[:, 1], tiny.SIDE).reshape(
        shape[:2]
    )


def test_identity_holds_the_source_crop(swapper: Swapper, photo: Any, tiny: Any) -> None:
    source = photo(1)
    identity = swapper.identity(source)
    face = swapper.detect(source)[0]
    crop = warp(source, similarity(face.landmarks_px, tiny.TEMPLATE), tiny.SIDE)
    expected = crop.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
    np.testing.assert_allclose(
        identity.named("source_latents"), tiny.to_blocks(expected), atol=1e-6
    )
    assert identity.named("tokens").shape == tiny.TOKENS
    assert identity.named("vector").shape == tiny.VECTOR


def test_swap_shows_the_source_inside_and_the_target_outside(
    swapper: Swapper, photo: Any, tiny: Any
) -> None:
    source, target = photo(1), photo(4)
    swapped = swapper.swap(target, swapper.identity(source))
    weights = _mask_on(target.shape, swapper.detect(target)[0], tiny)
    assert (weights == 0).any() and (weights == 1).any()
    np.testing.assert_array_equal(swapped[weights == 0], target[weights == 0])
    inside = swapped[weights == 1].astype(float) - source[weights == 1]
    # Source and target faces lie at the same place; half the size and back softens a little.
    assert np.abs(inside).mean() < 2
    assert np.abs(swapped[weights == 1].astype(float) - target[weights == 1]).mean() > 10


def test_swap_leaves_its_input_alone(swapper: Swapper, photo: Any) -> None:
    target = photo(2)
    before = target.copy()
    swapper.swap(target, swapper.identity(photo(1)))
    np.testing.assert_array_equal(target, before)


def test_swaps_do_not_depend_on_what_came_before(swapper: Swapper, photo: Any) -> None:
    first, second = swapper.identity(photo(1)), swapper.identity(photo(3))
    target = photo(2)
    alone = swapper.swap(target, first)
    other = swapper.swap(target, second)
    np.testing.assert_array_equal(swapper.swap(target, first), alone)
    assert (alone != other).any()


def test_several_sources_are_averaged(swapper: Swapper, photo: Any) -> None:
    one, two = swapper.identity(photo(1)), swapper.identity(photo(3))
    both = swapper.identity([photo(1), photo(3)])
    assert set(both.arrays) == {
        f"output:identity/{name}" for name in ("tokens", "vector", "source_latents")
    }
    for role, found in both.arrays.items():
        expected = (one.arrays[role] + two.arrays[role]) / 2
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_swap_crop_returns_the_source_crop(swapper: Swapper, photo: Any, tiny: Any) -> None:
    source, target = photo(1, tiny.SIDE, tiny.SIDE), photo(2, tiny.SIDE, tiny.SIDE)
    swapped = swapper.swap_crop(target, swapper.identity_of_crops([source]))
    np.testing.assert_array_equal(swapped, source)


def test_noise_comes_from_the_seed_or_from_the_caller(tiny: Any, photo: Any) -> None:
    bundle = Bundle(path="tiny", manifest=tiny.manifest())
    crop = photo(1, tiny.SIDE, tiny.SIDE)

    def swap(seed: int, noise: Any = None) -> np.ndarray:
        backend = FakeBackend(tiny.fake_graphs())
        with Swapper.open(bundle, backend=backend, schedule="noise", seed=seed) as swapper:
            return swapper.swap_crop(crop, swapper.identity_of_crops([crop]), noise=noise)

    np.testing.assert_array_equal(swap(5), swap(5))
    assert (swap(5) != swap(6)).any()
    noise = np.random.default_rng(9).standard_normal(tiny.LATENT, dtype=np.float32)
    expected = np.clip(np.rint((tiny.from_blocks(noise * 0.1)[0] + 1) * 127.5), 0, 255)
    np.testing.assert_array_equal(swap(5, noise), expected.transpose(1, 2, 0))


def test_guidance_is_fed_when_the_graph_asks_for_it(tiny: Any, photo: Any) -> None:
    import dataclasses

    plain = tiny.manifest()
    denoise = plain.graphs["denoise"]
    timestep = denoise.input("timestep")
    guidance = dataclasses.replace(timestep, name="guidance", role="guidance")
    guided = dataclasses.replace(denoise, inputs=(*denoise.inputs, guidance))
    seen = []

    def record(inputs: dict[str, Any]) -> dict[str, Any]:
        seen.append(inputs["guidance"].tolist())
        return {"output": inputs["source_latents"]}

    manifest = tiny.manifest(graphs={**plain.graphs, "denoise": guided}, guidance_scale=2.5)
    backend = FakeBackend({**tiny.fake_graphs(), "denoise": record})
    crop = photo(1, tiny.SIDE, tiny.SIDE)
    with Swapper.open(Bundle(path="tiny", manifest=manifest), backend=backend) as swapper:
        swapper.swap_crop(crop, swapper.identity_of_crops([crop]))
    assert seen == [[2.5]]


def test_stages_are_timed(swapper: Swapper, photo: Any) -> None:
    clock = StageClock()
    identity = swapper.identity(photo(1), clock=clock)
    assert list(clock.lap()) == ["detect", "align", "identity"]
    swapper.swap(photo(2), identity, clock=clock)
    spent = clock.lap()
    assert list(spent) == ["detect", "align", "encode", "denoise", "decode", "paste"]
    assert all(value > 0 for value in spent.values())
    assert clock.lap() == {}


def test_faces_may_be_given(swapper: Swapper, photo: Any, fake_backend: FakeBackend) -> None:
    target, identity = photo(2), swapper.identity(photo(1))
    faces = swapper.detect(target)
    fake_backend.calls.clear()
    swapped = swapper.swap(target, identity, faces=faces)
    assert "detector" not in fake_backend.calls
    np.testing.assert_array_equal(swapped, swapper.swap(target, identity, faces="all"))


def test_no_face_in_either_picture(swapper: Swapper, photo: Any) -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(NoFaceFound, match="no face found in the picture: use a picture in which"):
        swapper.identity(black)
    with pytest.raises(NoFaceFound, match="no face found in the picture"):
        swapper.swap(black, swapper.identity(photo(1)))


def test_fewer_faces_than_asked_for(swapper: Swapper, photo: Any) -> None:
    with pytest.raises(NoFaceFound, match=r"only 1 face found .*, expected at least 3"):
        swapper.swap(photo(2), swapper.identity(photo(1)), faces=3)


@pytest.mark.parametrize("faces", ["biggest", 0, -2])
def test_faces_must_be_a_choice(swapper: Swapper, photo: Any, faces: Any) -> None:
    identity = swapper.identity(photo(1))
    with pytest.raises(InvalidRequest, match="expected 'largest', 'all' or a number from 1"):
        swapper.swap(photo(2), identity, faces=faces)


def test_arrays_must_be_rgb_bytes(swapper: Swapper, photo: Any) -> None:
    for wrong in (photo(1)[..., 0], photo(1).astype(np.float32), photo(1)[:0]):
        with pytest.raises(InvalidRequest, match=r"expected \(height, width, 3\) uint8, RGB"):
            swapper.detect(wrong)
    with pytest.raises(InvalidRequest, match=r"the crop is \(64, 64, 3\) uint8, expected \(24, 24"):
        swapper.identity_of_crops([photo(1)])
    crop = photo(1, 24, 24)
    with pytest.raises(InvalidRequest, match=r"noise has shape \(2, 2\), expected \(1, 108, 4, 4"):
        swapper.swap_crop(crop, swapper.identity_of_crops([crop]), noise=np.zeros((2, 2)))
    with pytest.raises(InvalidRequest, match="at least one picture"):
        swapper.identity([])


def test_numbers_that_are_not_finite_are_our_failure(tiny: Any, photo: Any) -> None:
    graphs = {**tiny.fake_graphs(), "decode": lambda i: {"crop": np.full((1, 3, 24, 24), np.nan)}}
    bundle = Bundle(path="tiny", manifest=tiny.manifest())
    with Swapper.open(bundle, backend=FakeBackend(graphs)) as swapper:
        identity = swapper.identity(photo(1))
        with pytest.raises(GraphFailed, match="values that are not finite; edgeswap verify"):
            swapper.swap(photo(2), identity)


def test_aligned_crops_need_no_detector(crop_swapper: Swapper, photo: Any, tiny: Any) -> None:
    source, target = photo(1, tiny.SIDE, tiny.SIDE), photo(2, tiny.SIDE, tiny.SIDE)
    swapped = crop_swapper.swap_crop(target, crop_swapper.identity_of_crops([source]))
    np.testing.assert_array_equal(swapped, source)


def test_given_faces_need_no_detector(
    crop_swapper: Swapper, swapper: Swapper, photo: Any, tiny: Any
) -> None:
    target, crop = photo(2), photo(1, tiny.SIDE, tiny.SIDE)
    faces = swapper.detect(target)
    expected = swapper.swap(target, swapper.identity_of_crops([crop]), faces=faces)
    found = crop_swapper.swap(target, crop_swapper.identity_of_crops([crop]), faces=faces)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", ["detect", "identity", "swap"])
def test_finding_faces_needs_the_detector(
    crop_swapper: Swapper, photo: Any, tiny: Any, method: str
) -> None:
    identity = crop_swapper.identity_of_crops([photo(1, tiny.SIDE, tiny.SIDE)])
    rest = [identity] if method == "swap" else []
    with pytest.raises(DetectorMissing) as caught:
        getattr(crop_swapper, method)(photo(2), *rest)
    assert str(caught.value) == (
        f"{crop_swapper.bundle.path} holds no face detector, it takes aligned crops only: "
        "use swap_crop and identity_of_crops, or export the bundle again without --no-detector"
    )


def test_schedule_must_exist(tiny: Any, fake_backend: FakeBackend) -> None:
    bundle = Bundle(path="tiny", manifest=tiny.manifest())
    with pytest.raises(InvalidRequest, match="no schedule 'ten': expected one of noise, one, two"):
        Swapper.open(bundle, backend=fake_backend, schedule="ten")


def test_a_given_backend_stays_open(tiny: Any, fake_backend: FakeBackend, photo: Any) -> None:
    bundle = Bundle(path="tiny", manifest=tiny.manifest())
    with Swapper.open(bundle, backend=fake_backend):
        pass
    with Swapper.open(bundle, backend=fake_backend) as again:
        assert len(again.detect(photo(1))) == 1


def test_files_on_onnxruntime_equal_arrays_on_the_fake(
    bundle_folder: Path, swapper: Swapper, photo_file: Any
) -> None:
    source, target = photo_file("a.png", 1), photo_file("b.png", 2)
    expected = swapper.swap(target, swapper.identity(source))
    with Swapper.open(bundle_folder, threads=1) as real:
        found = real.swap(target, real.identity(source))
        assert real.identity(source).named("tokens").shape == (1, 16, 108)
    np.testing.assert_array_equal(found, expected)
    real.close()  # again: nothing happens
    with pytest.raises(InvalidRequest, match="the swapper is closed"):
        real.detect(target)
