"""TensorRT's backend on fakes that have the real bindings' names: what they can and cannot show.

They show that every name and signature exists in TensorRT 10.3, 10.13 and 11.4, in TensorRT for RTX
1.7 and in cuda-bindings 12.9 and 13; that buffers live, are reused and freed as stated; that every
refusal has its message. They show nothing about what a real GPU computes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_runtime import Bundle, Swapper
from edgeswap_runtime.backends import open_backend
from edgeswap_runtime.backends import tensorrt as _tensorrt
from edgeswap_runtime.backends.protocol import BackendRequest
from edgeswap_runtime.bundle.engines import EngineEntry, EngineInputs, onnx_hashes
from edgeswap_runtime.bundle.manifest import read_manifest, write_manifest
from edgeswap_runtime.errors import (
    BackendMissing,
    DeviceNotGranted,
    EdgeswapFailure,
    EngineMissing,
    InvalidRequest,
    PrecisionNotGranted,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

STANDARD = ("tensorrt 10.3.0", "tensorrt 10.13.3", "tensorrt 11.4.0")
RTX = "tensorrt_rtx 1.7.1"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def install(nvidia: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """install("tensorrt 10.3.0") puts the fakes where the real modules would be imported from."""

    def put(label: str, cuda_label: str = "cuda 13") -> SimpleNamespace:
        cuda = nvidia.FakeCuda(cuda_label)
        trt = nvidia.FakeTensorRt(label, cuda)
        monkeypatch.setitem(sys.modules, trt.__name__, trt)
        monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda)
        return SimpleNamespace(trt=trt, cuda=cuda, backend=trt.__name__)

    return put


@pytest.fixture
def with_engines(bundle_folder: Path, nvidia: ModuleType) -> Callable[..., Path]:
    """Give the tiny bundle fake plans: with_engines(fakes, architectures=("SM86",))."""

    def give(fakes: Any, **changes: Any) -> Path:
        manifest = read_manifest(bundle_folder)
        files = {name: entry.sha256 for name, entry in manifest.files.items()}
        engines = {}
        for name, graph in manifest.graphs.items():
            inputs = replace(
                EngineInputs(
                    onnx=onnx_hashes(files, graph.file),
                    backend=fakes.backend,
                    version=fakes.trt.__version__,
                    architectures=("SM86",),
                    precision="fp32",
                ),
                **changes,
            )
            file = bundle_folder / "engines" / inputs.key / f"{name}.plan"
            file.parent.mkdir(parents=True, exist_ok=True)
            note = json.dumps({"flags": [], "profiles": []}).encode()
            onnx = (bundle_folder / graph.file).read_bytes()
            file.write_bytes(nvidia.MAGIC + note + b"\n" + onnx)
            path = file.relative_to(bundle_folder).as_posix()
            engines[inputs.key] = EngineEntry(
                graph=name, file=path, structure_sha256="0" * 64, inputs=inputs
            )
        write_manifest(bundle_folder, replace(manifest, engines=engines, files={}))
        return bundle_folder

    return give


@pytest.mark.parametrize(
    ("label", "cuda_label"),
    [(STANDARD[0], "cuda 12.9"), *((label, "cuda 13") for label in (*STANDARD[1:], RTX))],
)
def test_names_and_signatures_of_every_version(
    label: str,
    cuda_label: str,
    install: Callable[..., Any],
    with_engines: Callable[..., Path],
    photo: Callable[..., np.ndarray],
) -> None:
    """A whole swap on the fakes equals the one on ONNX Runtime, and leaves no memory behind.

    It checks names and signatures only: the fakes have the real ones, and no GPU computed anything.
    """
    fakes = install(label, cuda_label)
    folder = with_engines(fakes)
    swapped = []
    for backend, device in (("ort", "cpu"), (fakes.backend, "cuda")):
        with Swapper.open(folder, backend=backend, device=device) as swapper:
            identity = swapper.identity(photo(2))
            swapped += [swapper.swap(photo(seed), identity) for seed in (1, 3, 1)]
    for one, other in zip(swapped[:3], swapped[3:], strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(swapped[0], swapped[1])
    assert fakes.cuda.held == {} and fakes.cuda.streams == {}


def test_from_the_third_run_on_a_recording_is_launched(
    install: Callable[..., Any], with_engines: Callable[..., Path]
) -> None:
    """First eagerly, then recorded and launched, then launched alone."""
    fakes = install(STANDARD[0])
    backend = _open(fakes, with_engines(fakes), "encode")
    buffer = backend.upload(np.ones((1, 3, 24, 24), np.float32))
    fakes.cuda.log.clear()
    for _ in range(4):
        backend.run("encode", {"target": buffer})
    assert " ".join(fakes.cuda.log) == "copy compute copy launch copy launch copy launch"


def test_an_engine_that_cannot_be_recorded_runs_all_the_same(
    install: Callable[..., Any],
    with_engines: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    fakes = install(STANDARD[1])
    backend = _open(fakes, with_engines(fakes), "encode")
    values = np.random.default_rng(0).normal(size=(1, 3, 24, 24)).astype(np.float32)
    fakes.cuda.fails = "cudaStreamEndCapture"
    found = [
        backend.download(
            backend.run("encode", {"target": backend.upload(values)})["target_latents"]
        )
        for _ in range(3)
    ]
    assert "launch" not in fakes.cuda.log
    np.testing.assert_array_equal(found[0], found[2])
    assert caplog.messages[0].startswith("graph 'encode' runs without a CUDA graph: CUDA failed in")
    assert len(caplog.messages) == 1


def test_rtx_records_by_itself_and_keeps_its_kernels(
    install: Callable[..., Any], with_engines: Callable[..., Path], cache: Path
) -> None:
    fakes = install(RTX)
    folder = with_engines(fakes)
    kept = []
    for _ in range(2):
        backend = _open(fakes, folder, "encode")
        config = fakes.trt.contexts[-1]
        buffer = backend.upload(np.ones((1, 3, 24, 24), np.float32))
        for _ in range(3):
            backend.run("encode", {"target": buffer})
        assert "launch" not in fakes.cuda.log and config is not None
        backend.close()
        (file,) = (cache / "tensorrt_rtx").iterdir()
        kept.append(file.read_bytes())
    assert kept == [b"compiled;", b"compiled;"]


def test_buffers(install: Callable[..., Any], with_engines: Callable[..., Path]) -> None:
    """Uploads are copies, outputs are reused, memory of dropped buffers is taken again."""
    fakes = install(STANDARD[2])
    backend = _open(fakes, with_engines(fakes), "encode", "decode")
    values = np.random.default_rng(0).normal(size=(1, 3, 24, 24)).astype(np.float32)
    target = backend.upload(values)
    latents = backend.run("encode", {"target": target})["target_latents"]
    decoded = backend.run("decode", {"sample": latents, "target_latents": latents})["crop"]
    np.testing.assert_array_equal(backend.download(decoded), values)
    other = backend.upload(-values)
    again = backend.run("encode", {"target": other})["target_latents"]
    assert again.address == latents.address
    np.testing.assert_array_equal(backend.download(target), values)
    address = other.address
    del other
    assert backend.upload(values * 2).address == address
    backend.close()
    backend.close()
    with pytest.raises(InvalidRequest, match="this backend is closed: open another"):
        backend.upload(values)


def test_inputs_are_checked(install: Callable[..., Any], with_engines: Callable[..., Path]) -> None:
    fakes = install(STANDARD[1])
    backend = _open(fakes, with_engines(fakes), "encode")
    good = np.ones((1, 3, 24, 24), np.float32)
    cases = {
        "no graph 'nothing': expected one of": ("nothing", {"target": good}),
        r"graph 'encode' takes \['target'\], found \['crop'\]": ("encode", {"crop": good}),
        "'target' of graph 'encode' is float64, expected float32": (
            "encode",
            {"target": good.astype(np.float64)},
        ),
        r"shape \(2, 3, 24, 24\), its engine takes \(1, 3, 24, 24\): edgeswap engine --batch": (
            "encode",
            {"target": np.repeat(good, 2, axis=0)},
        ),
    }
    for message, (graph, arrays) in cases.items():
        with pytest.raises(InvalidRequest, match=message):
            backend.run(graph, {name: backend.upload(a) for name, a in arrays.items()})


def test_failures_of_cuda_and_tensorrt_carry_their_words(
    install: Callable[..., Any], with_engines: Callable[..., Path]
) -> None:
    fakes = install(STANDARD[0])
    folder = with_engines(fakes)
    fakes.cuda.fails = "cudaMalloc"
    with pytest.raises(
        EdgeswapFailure, match="CUDA failed in cudaMalloc with cudaErrorMemoryAllocation: the GPU's"
    ):
        _open(fakes, folder, "encode")
    fakes.cuda.fails = None
    bundle = Bundle.open(folder)
    broken = folder / next(e.file for e in bundle.manifest.engines.values() if e.graph == "encode")
    broken.write_bytes(b"not a plan")
    request = BackendRequest(
        graphs={"encode": folder / "encode.onnx"}, device="cuda", bundle=bundle
    )
    with pytest.raises(EdgeswapFailure, match=r"take .*encode.plan, graph 'encode': magic tag"):
        open_backend(fakes.backend, request)
    assert fakes.cuda.held == {}


def _open(fakes: Any, folder: Path, *graphs: str) -> Any:
    bundle = Bundle.open(folder)
    chosen = {name: folder / f"{name}.onnx" for name in graphs}
    request = BackendRequest(graphs=chosen, device="cuda", bundle=bundle)
    return open_backend(fakes.backend, request)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": "9.9"}, r"SM86 with tensorrt 9\.9 \(another version\)"),
        ({"architectures": ("SM89",)}, r"SM89 with tensorrt 11.4.0.106 \(another architecture\)"),
        ({"backend": "tensorrt_rtx"}, r"\(another backend\)"),
    ],
)
def test_a_stale_or_foreign_engine_is_never_used(
    install: Callable[..., Any], with_engines: Callable[..., Path], change: Any, reason: str
) -> None:
    fakes = install(STANDARD[2])
    folder = with_engines(fakes, **change)
    with pytest.raises(
        EngineMissing,
        match=rf"holds no engine of graph 'encode' for SM86 with tensorrt 11.4.0.106: it holds "
        rf".*{reason}; make one with edgeswap engine .*bundle NEW_BUNDLE --backend tensorrt",
    ):
        _open(fakes, folder, "encode")


def test_a_bundle_without_engines_says_what_to_type(
    install: Callable[..., Any], bundle_folder: Path
) -> None:
    fakes = install(RTX)
    with pytest.raises(
        EngineMissing,
        match=r"it holds none; make one with .* --backend tensorrt_rtx --gpu sm86$",
    ):
        _open(fakes, bundle_folder, "encode")


@pytest.mark.parametrize(
    ("major", "minor", "fits"), [(8, 9, True), (12, 0, True), (7, 5, False), (8, 7, False)]
)
def test_hardware_compatible_engines(
    install: Callable[..., Any],
    with_engines: Callable[..., Path],
    major: int,
    minor: int,
    fits: bool,
) -> None:
    """Ampere-plus runs on every later desktop GPU; never before Ampere, never on a Jetson."""
    fakes = install(STANDARD[1])
    folder = with_engines(fakes, flags={"hardware_compatibility": "ampere-plus"})
    fakes.cuda.properties.major, fakes.cuda.properties.minor = major, minor
    if fits:
        _open(fakes, folder, "encode").close()
    else:
        with pytest.raises(EngineMissing, match="another architecture"):
            _open(fakes, folder, "encode")


def test_an_engine_under_a_wrong_key_makes_the_bundle_unusable(
    install: Callable[..., Any], with_engines: Callable[..., Path]
) -> None:
    folder = with_engines(install(STANDARD[0]))
    manifest = read_manifest(folder)
    (key, entry), *rest = manifest.engines.items()
    with pytest.raises(ValueError, match=f"engines.{'0' * 64} was made from inputs whose key is"):
        replace(manifest, engines={"0" * 64: entry})
    with pytest.raises(ValueError, match=f"engines.{key} is of an unknown graph 'nothing'"):
        replace(manifest, engines={key: replace(entry, graph="nothing")})
    with pytest.raises(ValueError, match=f"engines.{key} names x.plan, which files does not list"):
        replace(manifest, engines={key: replace(entry, file="x.plan")})
    assert len(rest) == 4


def test_what_a_request_may_not_hold(
    install: Callable[..., Any], with_engines: Callable[..., Path]
) -> None:
    fakes = install(STANDARD[0])
    bundle = Bundle.open(with_engines(fakes))
    request = BackendRequest(graphs={}, device="cuda", bundle=bundle)
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (InvalidRequest, "no device 'cpu': expected cuda or cuda:N, such as", {"device": "cpu"}),
        (InvalidRequest, "no device 'cuda:x'", {"device": "cuda:x"}),
        (DeviceNotGranted, "'cuda:3' was not granted, CUDA offers cuda:0", {"device": "cuda:3"}),
        (PrecisionNotGranted, "'fp16' was not granted, tensorrt offers the", {"precision": "fp16"}),
        (InvalidRequest, "backend 'tensorrt' takes no threads", {"threads": 2}),
        (InvalidRequest, "runs a bundle's engines: open it with a bundle", {"bundle": None}),
    ]
    for kind, message, change in cases:
        with pytest.raises(kind, match=message):
            open_backend("tensorrt", replace(request, **change))


def test_a_library_whose_parts_do_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise ImportError("libnvinfer.so.10: cannot open\nshared object file")

    monkeypatch.setattr(_tensorrt.importlib, "import_module", fail)
    with pytest.raises(BackendMissing, match=r"libraries do not load \(libnvinfer.so.10: cannot"):
        _tensorrt.load_library("tensorrt")


def test_without_the_packages(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, extra in (("tensorrt", "trt"), ("tensorrt_rtx", "rtx")):
        monkeypatch.setitem(sys.modules, name, None)
        bundle = Bundle.open(bundle_folder)
        request = BackendRequest(graphs=bundle.graph_paths(), device="cuda", bundle=bundle)
        with pytest.raises(BackendMissing, match=rf"'{name}' is not installed: .*\[{extra}\]"):
            open_backend(name, request)


@pytest.mark.parametrize("backend", ["tensorrt_rtx"])
def test_without_a_driver_one_clear_line(
    bundle_folder: Path, tmp_path: Path, photo_file: Callable[..., Path], backend: str
) -> None:
    """The real libraries, in a process of its own: a crash would show as another exit code."""
    pytest.importorskip("tensorrt_rtx")
    cuda = pytest.importorskip("cuda.bindings.runtime")
    if cuda.cudaGetDeviceCount()[0] == cuda.cudaError_t.cudaSuccess:
        pytest.skip("this machine has a GPU")
    picture = str(photo_file("a.png"))
    command = [sys.executable, "-m", "edgeswap_runtime", "swap", str(bundle_folder)]
    options = ["--source", picture, "--target", picture, "--out", str(tmp_path / "out.png")]
    done = subprocess.run(
        [*command, *options, "--backend", backend, "--device", "cuda"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "device 'cuda' was not granted, CUDA offers no device (cudaError" in done.stderr
    assert "edgeswap doctor tells what is there" in done.stderr


def test_copies_of_engines_may_not_outlive_their_graph(
    install: Callable[..., Any], with_engines: Callable[..., Path], tmp_path: Path
) -> None:
    """A bundle whose graph was exchanged, its hashes honestly written anew, loses its engines."""
    fakes = install(STANDARD[0])
    folder = with_engines(fakes)
    shutil.copy(folder / "decode.onnx", tmp_path / "kept.onnx")
    model = (folder / "encode.onnx").read_bytes()
    (folder / "encode.onnx").write_bytes(model + b"\x2a\x00")  # an empty domain field
    write_manifest(folder, replace(read_manifest(folder), files={}))
    with pytest.raises(EngineMissing, match=r"graph 'encode'.*made from another graph"):
        _open(fakes, folder, "encode")
    _open(fakes, folder, "decode").close()
