"""When each graph runs follows from the roles of its inputs alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgeswap_runtime.bundle.manifest import Graph, GraphInput, Schedule, ScheduleRow, Tensor
from edgeswap_runtime.bundle.roles import Role, output_role, parse_role
from edgeswap_runtime.bundle.run_order import find_run_order
from edgeswap_runtime.bundle.schema import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

AXES = ("batch", "channel", "height", "width")


def graph(*roles: str, gives: tuple[str, ...] = ("out",)) -> Graph:
    """A graph of which only the roles of its inputs matter."""
    inputs = tuple(
        GraphInput(name=f"in{i}", dtype="float32", shape=(1,), axes=("batch",), role=role)
        for i, role in enumerate(roles)
    )
    outputs = tuple(
        Tensor(name=name, dtype="float32", shape=(1,), axes=("batch",)) for name in gives
    )
    return Graph(file="g.onnx", precision="fp32", inputs=inputs, outputs=outputs)


def faceid(**changes: Graph) -> Mapping[str, Graph]:
    """A recognizer and an image encoder on crops of their own, a projection after averaging."""
    return {
        "image_encoder": graph("crop:clip/source"),
        "recognizer": graph("crop:arcface/source"),
        "project": graph("output:recognizer/out", "output:image_encoder/out", "constant:w.npy"),
        "parser": graph("crop:parse/target"),
        "encode": graph("crop:model/target", "output:parser/out"),
        "denoise": graph(
            "sample", "timestep", "guidance", "output:project/out", "output:encode/out",
            "keypoints:model/target", "constant:text.npy", gives=("output",),
        ),
        "decode": graph("sample", "crop:model/target", gives=("crop",)),
        **changes,
    }  # fmt: skip


def test_each_graph_has_its_time() -> None:
    order = find_run_order(faceid())
    assert order.per_photo == ("image_encoder", "recognizer")
    assert order.per_source == ("project",)
    assert order.per_target == ("parser", "encode")
    assert order.identity == ("output:project/out",)
    assert order.crops("source") == ("arcface", "clip")
    assert order.crops("target") == ("model", "parse")
    assert order.target_roles == (
        "crop:model/target",
        "crop:parse/target",
        "keypoints:model/target",
    )


def test_the_packaged_bundle_s_order(tiny: Any) -> None:
    order = find_run_order(tiny.manifest().graphs)
    assert (order.per_photo, order.per_source, order.per_target) == (("identity",), (), ("encode",))
    assert order.identity == tuple(
        f"output:identity/{name}" for name in ("source_latents", "tokens", "vector")
    )


def test_a_graph_may_take_a_photo_and_what_another_says_of_it() -> None:
    graphs = faceid(recognizer=graph("crop:arcface/source", "output:image_encoder/out"))
    assert find_run_order(graphs).per_photo == ("image_encoder", "recognizer")


def test_a_target_may_be_seen_together_with_the_source() -> None:
    """What is made of both runs for each target; only the source's part is kept."""
    graphs = faceid(
        target_encoder=graph("crop:clip/target"),
        mix=graph("output:target_encoder/out", "output:image_encoder/out"),
        denoise=graph("sample", "timestep", "output:mix/out", gives=("output",)),
    )
    order = find_run_order(graphs)
    assert order.per_target == ("parser", "target_encoder", "encode", "mix")
    assert order.identity == ("output:image_encoder/out",)


def test_constants_alone_run_once_for_a_source() -> None:
    graphs = faceid(text=graph("constant:ids.npy"))
    assert find_run_order(graphs).per_source == ("text", "project")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "parser": graph("crop:model/target", "output:other/out"),
                "other": graph("output:parser/out"),
            },
            "graphs ['decode'",
        ),
        (
            {"project": graph("output:nothing/out")},
            "takes 'output:nothing/out', expected the output of another graph",
        ),
        ({"project": graph("output:denoise/output")}, "expected the output of another graph"),
        ({"project": graph("output:recognizer/x")}, "but recognizer gives ['out']"),
        ({"project": graph("sample")}, "takes role 'sample', which only denoise, decode can"),
        ({"encode": graph("timestep")}, "takes role 'timestep', which only denoise can"),
        ({"encode": graph("picture")}, "takes role 'picture', which only detector can"),
        (
            {"encode": graph("crop:model/target", "crop:model/source")},
            "takes 'crop:model/source' on the target's side",
        ),
        (
            {"decode": graph("sample", "keypoints:model/source")},
            "takes 'keypoints:model/source' on the target's side",
        ),
        (
            {"recognizer": graph("crop:arcface/source", "output:text/out"),
             "text": graph("constant:ids.npy")},
            "takes a crop of each source photo and the output of text",
        ),
        ({"encode": graph("output:recognizer/out")}, "graphs.encode does not take the target"),
        (
            {"denoise": graph("sample", "timestep", "output:encode/out", gives=("output",))},
            "no graph takes the source",
        ),
    ],
)  # fmt: skip
def test_what_has_no_time_to_run_is_refused(changes: dict[str, Graph], message: str) -> None:
    graphs = faceid(**changes)
    if message.startswith("graphs ["):  # a circle
        message = "feed one another in a circle"
    with pytest.raises(SchemaError) as caught:
        find_run_order(graphs)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("crop:model/target", Role("crop", "model", "target")),
        ("keypoints:a-b_1/source", Role("keypoints", "a-b_1", "source")),
        ("output:graph/tensor/with:odd name", Role("output", "graph", "tensor/with:odd name")),
        ("constant:sub/tokens.npy", Role("constant", "sub/tokens.npy")),
        ("sample", Role("sample")),
    ],
)
def test_roles_are_read_and_written(text: str, expected: Role) -> None:
    assert parse_role(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text", ["", "crop:model", "crop:model/both", "output:g", "constant:a.bin", "mask", "Sample"]
)
def test_what_is_no_role(text: str) -> None:
    with pytest.raises(SchemaError, match="expected crop:NAME/source, crop:NAME/target"):
        parse_role(text)


def test_shapes_must_fit_what_fills_them(tiny: Any) -> None:
    graphs = dict(tiny.manifest().graphs)
    denoise = graphs["denoise"]
    tokens = replace(denoise.input("tokens"), shape=(1, 9, 108))
    wrong = replace(
        denoise, inputs=tuple(tokens if t.name == "tokens" else t for t in denoise.inputs)
    )
    with pytest.raises(SchemaError, match=r"denoise.tokens has shape \(1, 9, 108\), expected"):
        tiny.manifest(graphs={**graphs, "denoise": wrong})
    fewer = replace(denoise, inputs=tuple(t for t in denoise.inputs if t.role != "timestep"))
    with pytest.raises(SchemaError, match="lacks an input of role sample or timestep"):
        tiny.manifest(graphs={**graphs, "denoise": fewer})
    decode = graphs["decode"]
    blind = replace(decode, inputs=tuple(t for t in decode.inputs if t.role != "sample"))
    with pytest.raises(SchemaError, match=r"graphs\.decode lacks an input of role sample"):
        tiny.manifest(graphs={**graphs, "decode": blind})
    alpha = Tensor(name="alpha", dtype="float32", shape=(1, 3, 24, 24), axes=AXES)
    decode = replace(graphs["decode"], outputs=(*graphs["decode"].outputs, alpha))
    with pytest.raises(SchemaError, match=r"decode.alpha has shape .* expected \('batch', 1, 24"):
        tiny.manifest(graphs={**graphs, "decode": decode})


def test_schedules_that_look_at_the_target_need_its_latents(tiny: Any) -> None:
    row = ScheduleRow(timestep=1.0, sample=1.0, output=0.0)
    start = Schedule(
        sampler="ddim", steps=1, initial_noise_scale=0.5, start_signal=0.5, rows=(row,)
    )
    blend = replace(start, start_signal=0.0, rows=(replace(row, blend_signal=1.0),))
    assert tiny.manifest(schedules={"one": start}).schedules["one"].needs_target
    with pytest.raises(SchemaError, match=r"schedules.one needs .* expected 'latent_mask' among"):
        tiny.manifest(schedules={"one": blend})
    encode = tiny.manifest().graphs["encode"]
    for shape, fits in (((1, 1, 4, 4), True), (tiny.LATENT, True), ((1, 2, 4, 4), False)):
        mask = Tensor(name="latent_mask", dtype="float32", shape=shape, axes=AXES)
        graphs = {**tiny.manifest().graphs}
        graphs["encode"] = replace(encode, outputs=(*encode.outputs, mask))
        if fits:
            tiny.manifest(graphs=graphs, schedules={"one": blend})
        else:
            with pytest.raises(SchemaError, match=r"encode\.latent_mask has shape"):
                tiny.manifest(graphs=graphs, schedules={"one": blend})
    assert output_role("encode", "latent_mask") == "output:encode/latent_mask"
