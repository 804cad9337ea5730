"""What callers may hand over by mistake: one line of ours, never a traceback from within."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime import Bundle, EdgeswapError, Face, FakeBackend, Identity, Swapper
from edgeswap_runtime.backends.threads import require_threads
from edgeswap_runtime.errors import BadFolder, InvalidRequest, UnreadablePicture

if TYPE_CHECKING:
    from pathlib import Path

CROP = np.zeros((24, 24, 3), np.uint8)
NO_PICTURES: list[Any] = [
    Image.new("RGB", (64, 64)), b"jpeg", None, np.int64(3), 1.5, object(), [1, 2], {"a": 1}, True,
    [None], (b"x",), np.zeros((2, 64, 64, 3), np.uint8), bytearray(b"x"),
]  # fmt: skip


@pytest.mark.parametrize("wrong", NO_PICTURES, ids=lambda value: type(value).__name__)
def test_what_is_no_picture(swapper: Swapper, photo: Any, tmp_path: Path, wrong: Any) -> None:
    identity = swapper.identity(photo(1))
    with pytest.raises(InvalidRequest, match="expected"):
        swapper.identity(wrong)
    with pytest.raises(InvalidRequest, match=r"expected a path or an array|expected \(height"):
        swapper.swap(wrong, identity)
    with pytest.raises(InvalidRequest, match=r"expected a path or an array|expected \(height"):
        swapper.detect(wrong)
    with pytest.raises(InvalidRequest, match="expected"):
        swapper.save(wrong, tmp_path / "out.png")
    with pytest.raises(InvalidRequest, match="expected"):
        swapper.swap_crop(wrong, identity)
    with pytest.raises(InvalidRequest, match="expected"):
        swapper.identity_of_crops(wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [None, "source.jpg", CROP, b"x", 3])
def test_what_is_no_identity(swapper: Swapper, photo: Any, wrong: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"expected what Swapper\.identity gives"):
        swapper.swap(photo(2), wrong)
    with pytest.raises(InvalidRequest, match=r"expected what Swapper\.identity gives"):
        swapper.swap_crop(CROP, wrong)


def test_an_identity_of_another_model(swapper: Swapper, photo: Any) -> None:
    own = swapper.identity(photo(1))
    for name, part in (
        ("vector", own.named("vector")[:, :9]),
        ("tokens", own.named("tokens").astype(np.float64)),
        ("source_latents", None),
    ):
        changed = Identity(arrays={**own.arrays, f"output:identity/{name}": part})
        with pytest.raises(InvalidRequest, match=f"identity's {name} .* with the same bundle"):
            swapper.swap(photo(2), changed)
    with pytest.raises(InvalidRequest, match="the identity's source_latents are of shape None"):
        swapper.swap(photo(2), Identity(arrays={}))


@pytest.mark.parametrize("faces", [None, True, 1.0, ["x"], [None], "Largest", b"all", np.zeros(2)])
def test_what_is_no_choice_of_faces(swapper: Swapper, photo: Any, faces: Any) -> None:
    with pytest.raises(InvalidRequest, match="expected 'largest', 'all'"):
        swapper.swap(photo(2), swapper.identity(photo(1)), faces=faces)


def test_landmarks_far_outside_of_the_picture(swapper: Swapper, photo: Any) -> None:
    """They would ask for a region of the size of the moon."""
    identity, target = swapper.identity(photo(1)), photo(2)
    face = swapper.detect(target)[0]
    for points in (face.landmarks_px * 1e6, face.landmarks_px[:3], np.full((5, 2), "a")):
        wrong = Face(box=face.box, landmarks_px=points, score=1)
        with pytest.raises(InvalidRequest, match="a face has landmarks"):
            swapper.swap(target, identity, faces=[wrong])


def test_numbers_of_numpy_are_numbers(swapper: Swapper, tiny: Any, photo: Any) -> None:
    target, identity = photo(2), swapper.identity(photo(1))
    expected = swapper.swap(target, identity)
    found = swapper.swap(target, identity, faces=np.int64(1))  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, expected)
    bundle = Bundle(path=swapper.bundle.path, manifest=tiny.manifest())
    backend = FakeBackend(tiny.fake_graphs())
    assert Swapper.open(bundle, backend=backend, seed=np.uint64(2**64 - 1)).seed == 2**64 - 1  # type: ignore[arg-type]
    assert require_threads(np.int32(1)) == 1


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", True, np.float32(1), None])
def test_seeds(tiny: Any, seed: Any) -> None:
    bundle = Bundle(path="tiny", manifest=tiny.manifest())  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match=r"seed is .*expected a whole number, 0 to 2\*\*64"):
        Swapper.open(bundle, backend=FakeBackend(tiny.fake_graphs()), seed=seed)


@pytest.mark.parametrize("threads", [-1, 0, 4 * (os.cpu_count() or 1) + 1, 100_000, 1.5, True, "2"])
def test_threads_are_bound_before_anything_is_opened(tmp_path: Path, threads: Any) -> None:
    with pytest.raises(InvalidRequest, match="expected at least 1 and at most"):
        Swapper.open(tmp_path / "nowhere", threads=threads)


def test_what_is_no_bundle_backend_or_word(bundle_folder: Path) -> None:
    for wrong in (3, b"bundle", np.zeros(3)):
        with pytest.raises(InvalidRequest, match=r"bundle is .*expected a path"):
            Swapper.open(wrong)  # type: ignore[arg-type]
    with pytest.raises(BadFolder):
        Swapper.open("")
    for name, wrong in (("backend", 3), ("schedule", 1), ("device", 0), ("precision", b"")):
        with pytest.raises(InvalidRequest, match=f"{name} is "):
            Swapper.open(bundle_folder, **{name: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("noise", ["x", [[1]], np.full((1, 108, 4, 4), np.nan, np.float32)])
def test_what_is_no_noise(swapper: Swapper, noise: Any) -> None:
    identity = swapper.identity_of_crops([CROP])
    with pytest.raises(InvalidRequest, match="noise"):
        swapper.swap_crop(CROP, identity, noise=noise)


def test_a_closed_swapper(tiny: Any, photo: Any, tmp_path: Path) -> None:
    bundle = Bundle(path="tiny", manifest=tiny.manifest())  # type: ignore[arg-type]
    swapper = Swapper.open(bundle, backend=FakeBackend(tiny.fake_graphs()))
    identity = swapper.identity(photo(1))
    swapped = swapper.swap(photo(2), identity)
    swapper.close()
    for call in (
        lambda: swapper.detect(photo(1)), lambda: swapper.identity(photo(1)),
        lambda: swapper.swap(photo(2), identity), lambda: swapper.swap_crop(CROP, identity),
        lambda: swapper.identity_of_crops([CROP]), lambda: swapper.choose(photo(1)),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest, match="the swapper is closed"):
            call()
    swapper.save(swapped, tmp_path / "out.png")  # needs no backend
    swapper.close()


def test_only_files_are_read(swapper: Swapper, photo: Any, tmp_path: Path) -> None:
    """A pipe nobody writes into would be waited for, a device never ends."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))
        (tmp_path / "link").symlink_to(tmp_path / "pipe")
        for path in (tmp_path / "pipe", tmp_path / "socket", tmp_path / "link", "/dev/zero"):
            with pytest.raises(UnreadablePicture, match="it is a pipe, device or socket, expected"):
                swapper.detect(path)
    for odd in ("a\0b.png", tmp_path / ("x" * 300)):
        with pytest.raises((EdgeswapError, OSError)):
            swapper.detect(odd)


def test_a_path_where_an_array_belongs(swapper: Swapper, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="save takes an array, found the path"):
        swapper.save("a.png", tmp_path / "b.png")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="path is None, expected a path"):
        swapper.save(CROP, None)  # type: ignore[arg-type]
