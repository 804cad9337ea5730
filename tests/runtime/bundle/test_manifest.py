"""The manifest: written, read back, and every lie in it found."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import TYPE_CHECKING, Any

import pytest

from edgeswap_runtime.bundle.manifest import (
    CropSpec,
    Manifest,
    Mask,
    Schedule,
    _self_hash,
    read_manifest,
    write_manifest,
)
from edgeswap_runtime.bundle.schema import SchemaError
from edgeswap_runtime.errors import BadBundle, BadFolder, NewerSchema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _edit(folder: Path, change: Callable[[dict[str, Any]], object], *, sign: bool = True) -> Path:
    """Change manifest.json as somebody with a text editor (and, signing, with a grudge) would."""
    path = folder / "manifest.json"
    body = json.loads(path.read_bytes())
    change(body)
    if sign:
        body["manifest_sha256"] = _self_hash(body)
    path.write_text(json.dumps(body))
    return folder


def test_there_and_back(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in tiny.fake_graphs():
        (tmp_path / f"{name}.onnx").write_bytes(name.encode())
    (tmp_path / "sub" / "notes.txt").write_text("x")
    written = write_manifest(tmp_path, tiny.manifest())
    assert set(written.files) == {f"{n}.onnx" for n in tiny.fake_graphs()} | {"sub/notes.txt"}
    found = read_manifest(tmp_path)
    assert found == written
    assert found.manifest_sha256 == written.manifest_sha256 != ""
    first = (tmp_path / "manifest.json").read_bytes()
    write_manifest(tmp_path, found)
    assert (tmp_path / "manifest.json").read_bytes() == first


def test_the_detector_may_be_left_out(tiny: Any, tmp_path: Path) -> None:
    graphs = tiny.crop_graphs()
    folder = tiny.write_bundle(tmp_path / "crops", graphs=graphs)
    found = read_manifest(folder)
    assert set(found.graphs) == {"encode", "identity", "denoise", "decode"}
    assert "detector.onnx" not in found.files
    for name in ("encode", "denoise", "decode"):
        fewer = {key: graph for key, graph in graphs.items() if key != name}
        with pytest.raises(SchemaError, match="expected encode, denoise, decode among them"):
            tiny.manifest(graphs=fewer)
    with pytest.raises(SchemaError, match="takes 'output:identity/tokens', expected the output of"):
        tiny.manifest(graphs={key: g for key, g in graphs.items() if key != "identity"})


def test_no_folder_no_manifest_no_json(tmp_path: Path) -> None:
    expected = r"is no bundle: expected a folder with manifest\.json, found"
    with pytest.raises(BadFolder, match=f"{expected} nothing; make one with edgeswap export"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(BadFolder, match=f"{expected} an empty folder"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BadBundle, match=r"manifest\.json is not JSON"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema": NaN, "kind": "edgeswap-bundle"}')
    with pytest.raises(BadBundle, match=r"is not JSON \(NaN is not a number\)"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(BadBundle, match="does not state a schema and kind 'edgeswap-bundle'"):
        read_manifest(tmp_path)


def test_a_newer_schema_says_to_upgrade(bundle_folder: Path) -> None:
    _edit(bundle_folder, lambda body: body.update(schema=3, mystery=1))
    with pytest.raises(
        NewerSchema, match="its schema is 3, this edgeswap reads up to 2: python -m"
    ):
        read_manifest(bundle_folder)


def test_an_older_schema_says_to_export_again(bundle_folder: Path) -> None:
    _edit(bundle_folder, lambda body: body.update(schema=1))
    with pytest.raises(BadBundle, match="its schema is 1, expected 2: export its checkpoint again"):
        read_manifest(bundle_folder)


def test_any_change_by_hand_is_noticed(bundle_folder: Path) -> None:
    _edit(bundle_folder, lambda body: body.update(guidance_scale=3.0), sign=False)
    with pytest.raises(
        BadBundle, match=r"manifest\.json was changed: it states sha256 [0-9a-f]{64}"
    ):
        read_manifest(bundle_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: _crop(b).update(color="GRB"), "color is 'GRB', expected RGB or BGR"),
        (lambda b: _crop(b).update(std=[0.5, 0, 0.5]), "std is .* expected at least 0.0001 each"),
        (lambda b: _crop(b).update(size_px=0), "crops.model.size_px is 0, expected 8 to 2 048"),
        (lambda b: b["crops"].update(other=b["crops"].pop("model")), "expected 'model' among"),
        (lambda b: b["crops"].update({"a b": _crop(b)}), "is 'a b', expected 1 to 60 letters"),
        (lambda b: b.update(evaluations_per_step=3), "evaluations_per_step is 3, expected 1 to 2"),
        (lambda b: b.update(default_schedule="x"), r"default_schedule 'x' is none of \['noise'"),
        (lambda b: b.update(color="x"), "manifest has an unknown field 'color'"),
        (lambda b: b.pop("mask"), "manifest lacks the field 'mask'"),
        (lambda b: b["graphs"].pop("decode"), r"graphs are \['denoise', 'detector', 'encode'"),
        (
            lambda b: b["graphs"]["decode"]["outputs"][0].update(name="picture"),
            r"graphs\.decode gives \['picture'\], expected \['alpha', 'crop'\]",
        ),
        (
            lambda b: b["graphs"]["identity"]["outputs"][0].update(name="vector"),
            r"graphs\.identity gives \[.*\], expected each name once",
        ),
        (
            lambda b: b["graphs"]["detector"]["inputs"][0].update(name="picture"),
            r"graphs\.detector takes \['picture'\], expected \['input'\]",
        ),
        (
            lambda b: b["graphs"]["encode"]["inputs"][0].update(role="crop:model"),
            "role is 'crop:model', expected crop:NAME/source, crop:NAME/target, keypoints",
        ),
        (
            lambda b: b["graphs"]["encode"]["inputs"][0].pop("role"),
            r"inputs\[0\] lacks the field 'role'",
        ),
        (
            lambda b: b["graphs"]["encode"]["inputs"][0].update(role="constant:a.npy"),
            r"graphs\.encode names a\.npy, which files does not list",
        ),
        (
            lambda b: b["graphs"]["encode"]["inputs"][0].update(role="crop:face/target"),
            r"graphs\.encode\.target takes crop 'face', which is none of \['model'\]",
        ),
        (
            lambda b: b["graphs"]["encode"].update(file="other.onnx"),
            r"graphs\.encode names other\.onnx, which files does not list",
        ),
        (
            lambda b: b["graphs"]["encode"]["inputs"][0].update(shape=[1]),
            r"tensor 'target' has shape \(1,\) but axes",
        ),
        (
            lambda b: b["files"].update({"../evil": b["files"]["encode.onnx"]}),
            r"files names '\.\./evil', expected a path inside the bundle",
        ),
        (
            lambda b: b["schedules"]["one"].update(rows=[]),
            "schedules.one.rows has 0 items, expected 1 to 1 000",
        ),
        (
            lambda b: b["schedules"]["one"]["rows"][0].update(output="1"),
            r"manifest\.schedules\.one\.rows\[0\]\.output is '1', expected a finite number",
        ),
    ],
)
def test_contradictions_are_named(bundle_folder: Path, change: Any, message: str) -> None:
    _edit(bundle_folder, change)
    with pytest.raises(BadBundle, match=message):
        read_manifest(bundle_folder)


def test_values_refuse_nonsense(tiny: Any) -> None:
    with pytest.raises(SchemaError, match="has 1 points, expected 5"):
        CropSpec(size_px=24, landmarks_px=((0.0, 0.0),))
    with pytest.raises(SchemaError, match="is not a superellipse"):
        Mask(center_px=(1, 1), radii_px=(0, 1), exponent=2, feather_px=1)
    with pytest.raises(SchemaError, match="has no rows"):
        Schedule(sampler="x", steps=0, initial_noise_scale=1, rows=())
    with pytest.raises(SchemaError, match="kind is 'x'"):
        tiny.manifest(kind="x")


def test_graphs_are_looked_up_by_tensor(tiny: Any) -> None:
    graph = tiny.manifest().graphs["denoise"]
    assert graph.input("sample").shape == tiny.LATENT
    assert graph.output("output").name == "output"
    with pytest.raises(KeyError):
        graph.input("nothing")


def test_guidance_is_optional_for_denoise_alone(tiny: Any) -> None:
    graphs = dict(tiny.manifest().graphs)
    guidance = tiny.with_role(graphs["denoise"].input("timestep"), "guidance")
    guidance = dataclasses.replace(guidance, name="guidance")
    for name in ("denoise", "decode"):
        graph = graphs[name]
        changed = graphs | {name: dataclasses.replace(graph, inputs=(*graph.inputs, guidance))}
        if name == "denoise":
            assert tiny.manifest(graphs=changed, guidance_scale=2.0).guidance_scale == 2
        else:
            with pytest.raises(SchemaError, match=r"graphs\.decode takes role 'guidance', which"):
                tiny.manifest(graphs=changed)


def _crop(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["crops"]["model"]
    return found


def _widen(tensor: dict[str, Any], size: int) -> None:
    tensor["shape"][-1] = size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: _crop(b).update(size_px=10**9), "size_px is 1000000000, expected 8 to"),
        (
            lambda b: b["schedules"]["one"].update(rows=b["schedules"]["one"]["rows"] * 20_000),
            "rows has 20000 items, expected 1 to 1 000",
        ),
        (
            lambda b: b["schedules"]["one"].update(steps=200_000),
            "steps is 200000, expected 1 to 1 000",
        ),
        (
            lambda b: b["schedules"]["one"]["rows"][0].update(sample=1e200),
            r"rows\[0\]\.sample is 1e\+200",
        ),
        (lambda b: _widen(b["graphs"]["denoise"]["inputs"][0], -1), r"shape\[0\] is -1"),
        (
            lambda b: b["graphs"]["detector"]["inputs"][0].update(shape=[1, 3, 64_000, 64_000]),
            "has 12288000000 elements, expected at most 16777216",
        ),
        (
            lambda b: b["graphs"]["detector"]["inputs"][0].update(shape=[1, 3, 64, 50]),
            "expected .* multiples of 32 up to 1280",
        ),
        (
            lambda b: _crop(b)["landmarks_px"][0].__setitem__(0, 1e200),
            r"landmarks_px\[0\]\[0\] is 1e\+200, expected -2 048 to 4 096",
        ),
        (
            lambda b: _crop(b).update(landmarks_px=[[5, 5]] * 5),
            "landmarks_px are 0 px apart at most, expected 1.5 to 48",
        ),
        (
            lambda b: _crop(b).update(
                landmarks_px=[[x + 1000, y] for x, y in _crop(b)["landmarks_px"]]
            ),
            "lie around .* expected inside a crop of 24 px",
        ),
        (lambda b: b["mask"].update(exponent=1e-9), r"mask\.exponent is 1e-09"),
        (lambda b: b["files"]["encode.onnx"].update(sha256="x"), "expected 64 hex digits"),
        (lambda b: b["files"]["encode.onnx"].update(bytes=-1), "bytes is -1, expected 0 to"),
        (lambda b: b["files"].update({"a\0b": b["files"]["encode.onnx"]}), "inside the bundle"),
        (lambda b: b.update(files={}), "lists no files"),
        (lambda b: _widen(b["graphs"]["encode"]["inputs"][0], 48), "encode.target has shape"),
        (lambda b: _widen(b["graphs"]["decode"]["inputs"][0], 5), "decode.sample has shape"),
        (
            lambda b: b["graphs"]["encode"]["inputs"][0].update(dtype="float16"),
            "dtype is 'float16', expected float32",
        ),
        (
            lambda b: b["graphs"]["encode"].update(dynamic_axes={"batch": [4, 2, 8]}),
            "expected them in rising order",
        ),
        (lambda b: b.update(guidance_scale=1e20), "guidance_scale is 1e\\+20"),
        (lambda b: b.update(name="x" * 1000), "name has 1000 characters, expected 1 to 200"),
    ],
)
def test_absurd_numbers_with_a_right_hash(bundle_folder: Path, change: Any, message: str) -> None:
    _edit(bundle_folder, change)
    with pytest.raises(BadBundle, match=message):
        read_manifest(bundle_folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"size_px": 24', '"size_px": 1e999', "1e999 is too large"),
        ('"name": "tiny"', '"name": "\\ud800"', "half of a surrogate pair"),
        ('"name": "tiny"', '"name": "tiny", "name": "b"', "the key 'name' comes twice"),
        ('"name": "tiny"', '"name": ' + "[" * 5000 + "]" * 5000, "nested more than 64 deep"),
    ],
)
def test_json_that_readers_take_differently(
    bundle_folder: Path, old: str, new: str, message: str
) -> None:
    path = bundle_folder / "manifest.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(BadBundle, match=message):
        read_manifest(bundle_folder)


def test_what_is_out_of_bounds_is_not_written(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="made_with"):
        write_manifest(tmp_path, tiny.manifest(made_with={"edgeswap": "x" * 1000}))
    assert list(tmp_path.iterdir()) == []


def test_every_number_of_a_manifest_has_bounds_of_its_own() -> None:
    """No field of a plain int or float, anywhere below Manifest."""
    seen: set[Any] = set()
    bare: list[str] = []

    def look(kind: Any, where: str, bounded: bool = False) -> None:
        if dataclasses.is_dataclass(kind):
            if kind not in seen:
                seen.add(kind)
                for name, hint in typing.get_type_hints(kind, include_extras=True).items():
                    look(hint, f"{kind.__name__}.{name}")
        elif typing.get_origin(kind) is typing.Annotated:
            look(typing.get_args(kind)[0], where, bounded=True)
        elif kind in (int, float) and not bounded:
            bare.append(where)
        else:
            for part in typing.get_args(kind):
                look(part, where)

    look(Manifest, "Manifest")
    # This one must equal a constant.
    assert bare == ["Manifest.schema"]


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, tiny: Any) -> None:
    stated = tiny.manifest(history=({"stage": "export", "config": {"calibration_swaps": 10**30}},))
    with pytest.raises(SchemaError, match=r"could not be read back: 1000.* does not fit into 64"):
        write_manifest(tmp_path, stated)
    assert not list(tmp_path.iterdir())
