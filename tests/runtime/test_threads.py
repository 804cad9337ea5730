"""One swapper, several threads: every answer is the right person's."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_runtime import Bundle, FakeBackend, Swapper
from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

PEOPLE, THREADS = 5, 8


class SlowBackend(FakeBackend):
    """Gives other threads time to overwrite a buffer before it is read."""

    def download(self, buffer: Any) -> Any:
        time.sleep(0.0005)
        return super().download(buffer)


def _wrong(swappers: list[Swapper], photo: Any, swaps: int) -> int:
    """How many of so many swaps show another person than was asked for."""
    target = photo(99)
    identities = [swappers[0].identity(photo(person)) for person in range(PEOPLE)]
    expected = [swappers[0].swap(target, identity) for identity in identities]
    assert all((expected[0] != other).any() for other in expected[1:])

    def swap(number: int) -> bool:
        person, swapper = number % PEOPLE, swappers[number % len(swappers)]
        identity = identities[person]
        if number % 3 == 0:  # reading an identity uses the same buffers
            identity = swapper.identity(photo(person))
        return bool((swapper.swap(target, identity) != expected[person]).any())

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(swap, range(swaps)))


@pytest.mark.parametrize("backend", ["ort", "openvino"])
def test_one_swapper(bundle_folder: Path, photo: Any, backend: str, cache: None) -> None:
    pytest.importorskip("onnxruntime" if backend == "ort" else backend)
    with Swapper.open(bundle_folder, backend=backend, threads=1) as swapper:
        assert _wrong([swapper], photo, 80) == 0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO's compiled models go into a folder of the test's."""
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path / "cache"))


def test_two_swappers_of_one_backend(tiny: Any, photo: Any) -> None:
    """Its buffers are shared, so that its lock must be."""
    bundle = Bundle(path="tiny", manifest=tiny.manifest())  # type: ignore[arg-type]
    backend = SlowBackend(tiny.fake_graphs())
    swappers = [Swapper.open(bundle, backend=backend) for _ in range(2)]
    assert _wrong(swappers, photo, 40) == 0
    for swapper in swappers:
        swapper.close()


def test_without_the_lock_it_goes_wrong(tiny: Any, photo: Any) -> None:
    """So that the tests above can fail."""
    bundle = Bundle(path="tiny", manifest=tiny.manifest())  # type: ignore[arg-type]
    with Swapper.open(bundle, backend=SlowBackend(tiny.fake_graphs())) as swapper:
        swapper._lock = contextlib.nullcontext()
        assert _wrong([swapper], photo, 80) > 0


def test_closing_waits_for_swaps(tiny: Any, photo: Any) -> None:
    """A swap that has begun ends well, a later one is refused; nothing in between."""
    bundle = Bundle(path="tiny", manifest=tiny.manifest())  # type: ignore[arg-type]
    swapper = Swapper.open(bundle, backend=SlowBackend(tiny.fake_graphs()))
    identity, target = swapper.identity(photo(1)), photo(2)
    expected = swapper.swap(target, identity)

    def swap(_: int) -> bool:
        try:
            return bool((swapper.swap(target, identity) == expected).all())
        except InvalidRequest:
            return True

    with ThreadPoolExecutor(THREADS) as pool:
        answers = [pool.submit(swap, n) for n in range(40)]
        swapper.close()
        assert all(answer.result() for answer in answers)
    np.testing.assert_array_equal(expected.shape, target.shape)
