"""The manifest: written, read back, and every lie in it found."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from edgeswap_runtime._errors import BadBundle, NewerSchema
from edgeswap_runtime._manifest import (
    Alignment,
    Mask,
    Schedule,
    _self_hash,
    read_manifest,
    write_manifest,
)
from edgeswap_runtime._schema import SchemaError

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


def test_only_the_detector_may_be_left_out(tiny: Any, tmp_path: Path) -> None:
    graphs = tiny.crop_graphs()
    folder = tiny.write_bundle(tmp_path / "crops", graphs=graphs)
    found = read_manifest(folder)
    assert set(found.graphs) == {"encode", "identity", "denoise", "decode"}
    assert "detector.onnx" not in found.files
    for name in graphs:
        fewer = {key: graph for key, graph in graphs.items() if key != name}
        with pytest.raises(SchemaError, match="of which only 'detector' may be left out"):
            tiny.manifest(graphs=fewer)
    with pytest.raises(SchemaError, match=r"graphs are \[.*'extra'.*\], expected \['decode'"):
        tiny.manifest(graphs={**graphs, "extra": graphs["encode"]})


def test_no_folder_no_manifest_no_json(tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match="there is no such folder: edgeswap export makes one"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(BadBundle, match=r"it holds no manifest\.json"):
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
    _edit(bundle_folder, lambda body: body.update(schema=2, mystery=1))
    with pytest.raises(
        NewerSchema, match="its schema is 2, this edgeswap reads up to 1: python -m"
    ):
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
        (lambda b: b.update(colour_order="BGR"), "colour_order is 'BGR', expected 'RGB'"),
        (lambda b: b.update(value_range=[0, 1]), "value_range is"),
        (lambda b: b.update(resolution_px=0), "manifest.resolution_px is 0, expected 8 to 2 048"),
        (lambda b: b.update(evaluations_per_step=3), "evaluations_per_step is 3, expected 1 to 2"),
        (lambda b: b.update(default_schedule="x"), r"default_schedule 'x' is none of \['noise'"),
        (lambda b: b.update(colour="x"), "manifest has an unknown field 'colour'"),
        (lambda b: b.pop("mask"), "manifest lacks the field 'mask'"),
        (lambda b: b["graphs"].pop("decode"), r"graphs are \['denoise', 'detector', 'encode'"),
        (
            lambda b: b["graphs"]["encode"]["inputs"][0].update(name="picture"),
            r"graphs\.encode takes \['picture'\], expected \['target'\]",
        ),
        (
            lambda b: b["graphs"]["decode"]["outputs"][0].update(name="picture"),
            r"graphs\.decode gives \['picture'\], expected \['crop'\]",
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
        Alignment(landmarks_px=((0.0, 0.0),))
    with pytest.raises(SchemaError, match="is not a superellipse"):
        Mask(centre_px=(1, 1), radii_px=(0, 1), exponent=2, feather_px=1)
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
    guidance = dataclasses.replace(graphs["denoise"].input("timestep"), name="guidance")
    for name in ("denoise", "decode"):
        graph = graphs[name]
        changed = graphs | {name: dataclasses.replace(graph, inputs=(*graph.inputs, guidance))}
        if name == "denoise":
            assert tiny.manifest(graphs=changed, guidance_scale=2.0).guidance_scale == 2
        else:
            with pytest.raises(SchemaError, match=r"graphs\.decode takes \['guidance'"):
                tiny.manifest(graphs=changed)
