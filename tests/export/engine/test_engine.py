"""Engines ahead of time with the real TensorRT for RTX, and every refusal before building."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

from edgeswap_export.engine import BuilderOptions, EngineConfig, engine
from edgeswap_export.engine._build import EngineRequest, build_engine
from edgeswap_export.engine._errors import EngineFailed, UnsupportedEngine
from edgeswap_runtime import Bundle
from edgeswap_runtime.bundle.manifest import read_manifest, write_manifest
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.files import sha256_file

from ..conftest import Exported

RUNTIME_TESTS = Path(__file__).parents[2] / "runtime"


def load(name: str) -> ModuleType:
    """A module or package of the runtime's tests, by its path."""
    package = RUNTIME_TESTS / name / "__init__.py"
    file = package if package.exists() else RUNTIME_TESTS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"engine_{name}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def tiny() -> ModuleType:
    return load("tiny_bundle")


@pytest.fixture
def bundle(tmp_path: Path, tiny: ModuleType) -> Path:
    folder: Path = tiny.write_bundle(tmp_path / "bundle")
    return folder


@pytest.fixture
def rtx() -> ModuleType:
    """The real TensorRT for RTX; it builds without a GPU."""
    module: ModuleType = pytest.importorskip("tensorrt_rtx")
    return module


@pytest.fixture
def stated(bundle: Path) -> Callable[..., Path]:
    """Let the bundle's manifest state another precision, or dynamic axes, of its graphs."""

    def change(**fields: Any) -> Path:
        manifest = read_manifest(bundle)
        graphs = {name: replace(graph, **fields) for name, graph in manifest.graphs.items()}
        write_manifest(bundle, replace(manifest, graphs=graphs, files={}))
        return bundle

    return change


RTX_86 = EngineConfig(backend="tensorrt_rtx", gpus=("sm86",))


def test_a_bundle_with_engines(rtx: ModuleType, plain: Exported, tmp_path: Path) -> None:
    """Every graph of an exported checkpoint, for three generations of GPUs at once."""
    config = EngineConfig(backend="tensorrt_rtx", gpus=("sm86", "SM89", "SM120"))
    lines: list[str] = []
    out = engine(plain.bundle, config, tmp_path / "engines", progress=lines.append)
    before, after = Bundle.open(plain.bundle), Bundle.open(out)
    assert after.verify() == len(before.manifest.files) + 10
    assert {e.graph for e in after.manifest.engines.values()} == set(before.manifest.graphs)
    for key, entry in after.manifest.engines.items():
        assert entry.file == f"engines/{key}/{entry.graph}.plan"
        facts = json.loads((out / "engines" / key / "engine.json").read_text())
        assert facts["plan_sha256"] == sha256_file(out / entry.file)
        assert facts["inputs"]["version"] == rtx.__version__
        assert facts["layers"] > 0
        wanted = {t.name for t in before.manifest.graphs[entry.graph].inputs}
        tensors = facts["tensors"].items()
        assert {name for name, t in tensors if t["mode"] == "input"} == wanted
    for name, file in before.manifest.files.items():
        assert after.manifest.files[name] == file
    assert after.manifest.history[-1]["stage"] == "engine"
    assert any(line.startswith("denoise: building for sm86, sm89, sm120") for line in lines)
    assert any(line.startswith("denoise: Building engine (") for line in lines)


def test_the_detector_takes_the_sizes_the_runtime_shows_it(
    rtx: ModuleType, plain: Exported, tmp_path: Path
) -> None:
    config = replace(RTX_86, graphs=("detector",))
    out = engine(plain.bundle, config, tmp_path / "engines")
    (entry,) = Bundle.open(out).manifest.engines.values()
    assert entry.inputs.profiles["input"] == ((1, 3, 32, 32), (1, 3, 480, 640), (1, 3, 640, 640))


def test_the_same_bytes_in_two_processes(rtx: ModuleType, bundle: Path, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        out = tmp_path / name
        command = [sys.executable, "-m", "edgeswap_runtime", "engine", str(bundle), str(out)]
        options = ["--backend", "tensorrt_rtx", "--gpu", "sm86,SM89", "--json"]
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, check=False, env=os.environ
        )
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert [row["gpus"] for row in report["engines"]] == [["sm86", "sm89"]] * 5
        files = sorted(path for path in out.rglob("*") if path.is_file())
        found.append({p.relative_to(out).as_posix(): sha256_file(p) for p in files})
    assert found[0] == found[1]
    assert sum(name.endswith(".plan") for name in found[0]) == 5


def test_engines_that_are_there_are_not_built_again(
    rtx: ModuleType, bundle: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    first = engine(bundle, replace(RTX_86, graphs=("encode",)), tmp_path / "first")
    second = engine(first, RTX_86, tmp_path / "second", progress=lines.append)
    (key,) = Bundle.open(first).manifest.engines
    assert f"encode: engine {key} is there already" in lines
    assert len(Bundle.open(second).manifest.engines) == 5
    other = engine(second, replace(RTX_86, gpus=("sm89",)), tmp_path / "third")
    assert len(Bundle.open(other).manifest.engines) == 10


def test_every_input_of_the_key_changes_it(bundle: Path, rtx: ModuleType, tmp_path: Path) -> None:
    (entry,) = Bundle.open(
        engine(bundle, replace(RTX_86, graphs=("encode",)), tmp_path / "out")
    ).manifest.engines.values()
    changes: dict[str, Any] = {
        "onnx": {"encode.onnx": "0" * 64},
        "backend": "tensorrt",
        "version": "1.7.1.117",
        "architectures": ("SM89",),
        "precision": "fp16",
        "profiles": {"target": ((1,), (1,), (2,))},
        "flags": {"refit": True},
        "refitted_from": "0" * 64,
    }
    assert set(changes) == set(entry.inputs.__dataclass_fields__)
    keys = {replace(entry.inputs, **{name: value}).key for name, value in changes.items()}
    assert len(keys | {entry.inputs.key}) == len(changes) + 1


def _net(path: Path, kind: int, batch: int | str = 1) -> Path:
    """A small convolution with a sigmoid, computed in the named ONNX type."""
    helper, types = onnx.helper, onnx.TensorProto
    weight = np.random.default_rng(0).normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=kind),
        helper.make_node("Cast", ["w"], ["b"], to=kind),
        helper.make_node("Conv", ["a", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["c"], ["d"]),
        helper.make_node("Cast", ["d"], ["y"], to=types.FLOAT),
    ]
    values = [helper.make_tensor_value_info(n, types.FLOAT, [batch, 16, 8, 8]) for n in "xy"]
    graph = helper.make_graph(
        nodes, "net", values[:1], values[1:], [onnx.numpy_helper.from_array(weight, "w")]
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.mark.parametrize("target", ["SM75", "SM80", "SM86", "SM89", "SM120", "SM121"])
def test_every_target_static_and_with_a_profile(
    rtx: ModuleType, tmp_path: Path, target: str
) -> None:
    """A plan of each, and the one for any batch is another one."""
    half = onnx.TensorProto.FLOAT16
    static = _net(tmp_path / "static.onnx", half)
    free = _net(tmp_path / "free.onnx", half, "batch")
    shape = (16, 8, 8)
    plans = [
        build_engine(rtx, EngineRequest(name="net", onnx=static, gpus=(target,))),
        build_engine(
            rtx,
            EngineRequest(
                name="net",
                onnx=free,
                gpus=(target,),
                profiles={"x": ((1, *shape), (2, *shape), (4, *shape))},
            ),
        ),
    ]
    assert all(memoryview(plan.data).nbytes > 10_000 for plan in plans)
    assert plans[0].sha256 != plans[1].sha256
    assert plans[1].tensors["x"] == {"mode": "input", "dtype": "float", "shape": [-1, 16, 8, 8]}


def test_what_tensorrt_logs_reaches_the_user(rtx: ModuleType, tmp_path: Path) -> None:
    """bfloat16 for Turing is refused beforehand; asked for all the same, RTX says why not."""
    net = _net(tmp_path / "net.onnx", onnx.TensorProto.BFLOAT16)
    with pytest.raises(
        EngineFailed, match=r"could not build graph 'net' for sm75: .*HW-specific datatypes: b16"
    ):
        build_engine(rtx, EngineRequest(name="net", onnx=net, gpus=("sm75",)))
    (tmp_path / "bad.onnx").write_bytes(b"not ONNX")
    with pytest.raises(EngineFailed, match=r"does not take graph 'bad' of .*bad\.onnx: "):
        build_engine(rtx, EngineRequest(name="bad", onnx=tmp_path / "bad.onnx", gpus=("sm86",)))


def test_an_unknown_operator_is_named(rtx: ModuleType, tmp_path: Path) -> None:
    helper = onnx.helper
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2]) for n in "xy"]
    node = helper.make_node("Teleport", ["x"], ["y"], domain="nowhere")
    graph = helper.make_graph([node], "odd", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("nowhere", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "odd.onnx")
    with pytest.raises(EngineFailed, match=r"does not take graph 'odd' .*Teleport"):
        build_engine(rtx, EngineRequest(name="odd", onnx=tmp_path / "odd.onnx", gpus=("sm86",)))


@pytest.mark.parametrize(
    ("precision", "target", "message"),
    [
        ("fp8", "SM86", r"graph 'decode' is fp8, which sm86 does not compute: it takes sm89 \(Ada"),
        (
            "bf16",
            "SM75",
            r"is bf16, which sm75 does not compute: it takes sm80 \(Ampere\) or newer",
        ),
    ],
)
def test_arithmetic_that_a_gpu_lacks_is_refused_before_building(
    stated: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    target: str,
    message: str,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)  # it must not even be loaded
    config = EngineConfig(backend="tensorrt_rtx", gpus=("sm120", target))
    with pytest.raises(UnsupportedEngine, match=message):
        engine(stated(precision=precision), config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sizes_must_be_free_and_within_what_was_exported(
    bundle: Path, tiny: ModuleType, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    config = replace(RTX_86, graphs=("encode",), sizes={"batch": (1, 1, 2)})
    with pytest.raises(
        UnsupportedEngine,
        match=r"no graph of the bundle has a dynamic axis 'batch' \(it has none\): edgeswap export",
    ):
        engine(bundle, config, out)
    encode = tiny.manifest().graphs["encode"]
    (target,) = encode.inputs
    free = replace(encode, inputs=(replace(target, shape=("batch", *target.shape[1:])),))
    wide = replace(encode, inputs=(replace(target, shape=(*target.shape[:-1], "wide")),))
    manifest = read_manifest(bundle)
    for sizes, graph, message in (
        ({}, wide, "has a dynamic axis 'wide' of unknown range: add --size wide=MIN:OPT:MAX"),
        (
            {"batch": (1, 4, 8)},
            replace(free, dynamic_axes={"batch": (1, 2, 4)}),
            "batch 1:4:8 of graph 'encode' is beyond 1 to 4, which it was exported for",
        ),
    ):
        graphs = {**manifest.graphs, "encode": graph}
        write_manifest(bundle, replace(manifest, graphs=graphs, files={}))
        with pytest.raises(UnsupportedEngine, match=message):
            engine(bundle, replace(config, sizes=sizes), out)
    with pytest.raises(UnsupportedEngine, match="has no graph 'paint': expected some of decode"):
        engine(bundle, replace(RTX_86, graphs=("paint",)), out)
    assert not out.exists()


def test_refit_of_rtx_needs_a_gpu(rtx: ModuleType, bundle: Path, tmp_path: Path) -> None:
    for change, verb in (({"builder": BuilderOptions(refittable=True)}, "makes refittable engines"),
                         ({"refit": str(bundle)}, "refits")):  # fmt: skip
        with pytest.raises(
            UnsupportedEngine,
            match=rf"TensorRT for RTX {verb} only where it sees a GPU \(device 'cuda' was not",
        ):
            engine(bundle, replace(RTX_86, **change), tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "tensorrt"], "backend 'tensorrt' is not installed: python -m pip install"),
        (["--backend", "tensorrt_rtx", "--gpu", "sm87"], "TensorRT for RTX has no sm87"),
        (["--backend", "tensorrt_rtx", "--gpu", "SM86", "--size", "x"], "size 'x': expected"),
        (["--backend", "tensorrt_rtx", "--gpu", "SM86", "--batch", "1"], "size 'batch=1'"),
    ],
)
def test_the_command_refuses_in_one_line(
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main(["engine", str(bundle), str(tmp_path / "out"), *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle"]


def test_the_command_without_rtx(
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    options = ["--backend", "tensorrt_rtx", "--gpu", "SM86"]
    assert main(["engine", str(bundle), str(tmp_path / "out"), *options]) == 2
    assert "'tensorrt_rtx' is not installed: python -m pip install 'edgeswap[rtx]'" in (
        capsys.readouterr().err
    )


def test_an_output_that_exists_is_left_alone(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputExists, match="already exists: name another path"):
        engine(bundle, RTX_86, tmp_path / "out")


def test_it_needs_neither_torch_nor_onnx() -> None:
    """A Jetson builds its own engines, and has no room for the training stack."""
    script = (
        "import sys; import edgeswap_export.engine.cli; "
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'diffusers', 'tensorrt_rtx'} & "
        "set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_what_rtx_prints_past_its_logger_stays_out_of_the_report(
    bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def noisy(*arguments: Any, **options: Any) -> Path:
        os.write(1, b"WARNING: in op x\n")
        return bundle

    monkeypatch.setattr("edgeswap_export.engine.cli.engine", noisy)
    options = ["--backend", "tensorrt_rtx", "--gpu", "SM86", "--json"]
    assert main(["engine", str(bundle), str(tmp_path / "out"), *options]) == 0
    told = capfd.readouterr()
    assert json.loads(told.out)["engines"] == []
    assert "WARNING: in op x" in told.err
