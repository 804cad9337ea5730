"""`edgeswap inspect PLAN`: the table, the picture, the refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.plan.folder import load_unet
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.plan.plan_file import read_plan
from edgeswap_compress.plan.summary.picture import BAR_PX, DROPPED, GONE, KEPT, draw_plan
from edgeswap_compress.plan.summary.view import lines, view_plan
from edgeswap_compress.prune import PruneChoice, PruneConfig, PruneTarget, prune
from edgeswap_compress.prune.structure._families import tiny_unet
from edgeswap_runtime.cli import main


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect")
    tiny_unet("sd1").save_pretrained(folder / "whole")
    config = PruneConfig(
        target=PruneTarget(macs_ratio=0.3), choice=PruneChoice(mode="depth"), samples=2
    )
    out = prune(folder / "whole", config, folder / "pruned")
    assert out is not None
    return out


@pytest.fixture
def alone(pruned: Path, tmp_path: Path) -> Path:
    """The plan without the config beside it."""
    return Path(shutil.copy(pruned / "pruning.json", tmp_path / "plan.json"))


def test_the_table_counts_what_is_left(pruned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(pruned / "pruning.json"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    whole, small = tiny_unet("sd1"), load_unet(pruned)
    assert facts["complete"] is True
    for key, unet in (("parameters_of", whole), ("parameters", small)):
        blocks = sum(block[key] for block in facts["blocks"])
        norm = sum(p.numel() for p in unet.conv_norm_out.parameters())
        assert blocks == sum(p.numel() for p in unet.parameters()) - norm
    dropped = [name for block in facts["blocks"] for name in block["dropped"]]
    assert dropped and set(dropped) == set(read_plan(pruned / "pruning.json").dropped)
    for layer in facts["layers"]:
        assert layer["kept"] == 0 or layer["kept"] == len(small.get_submodule(layer["name"]).weight)
        assert layer["of"] == len(whole.get_submodule(layer["name"]).weight)


def test_the_table_names_blocks_and_what_is_dropped(
    pruned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(pruned / "pruning.json")]) == 0
    shown = capsys.readouterr().out
    for part in ("importance magnitude", "(0.3", "predicted loss change +", "down_blocks.0",
                 "mid_block", "conv_out", "dropped ", "of which stays its"):  # fmt: skip
        assert part in shown
    assert "with the U-Net's config.json" not in shown


def test_a_plan_alone_shows_what_it_cuts(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(alone)]) == 0
    assert "with the U-Net's config.json beside the plan, all are shown" in capsys.readouterr().out
    view = view_plan(read_plan(alone), None)
    cut = read_plan(alone).layers
    assert view.layers and all(layer.name in cut for layer in view.layers)


def test_the_picture_has_a_bar_for_each_layer(pruned: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.png"
    assert main(["inspect", str(pruned / "pruning.json"), "--picture", str(file)]) == 0
    pixels = np.array(Image.open(file).convert("RGB"))
    view = view_plan(read_plan(pruned / "pruning.json"), pruned / "config.json")
    widest = max(layer.of for layer in view.layers)

    def count(color: str) -> int:
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        return int((pixels == wanted).all(-1).sum())

    bar_px = BAR_PX / widest * (count(KEPT) > 0)
    kept = sum(layer.kept for layer in view.layers) * bar_px
    gone = sum(layer.of - layer.kept for layer in view.layers if layer.kept) * bar_px
    lost = sum(layer.of for layer in view.layers if not layer.kept) * bar_px
    total = kept + gone + lost
    found = [count(color) for color in (KEPT, GONE, DROPPED)]
    assert [part / sum(found) for part in found] == pytest.approx(
        [kept / total, gone / total, lost / total], abs=0.03
    )


def test_a_plan_that_cuts_nothing_has_no_picture() -> None:
    with pytest.raises(PruningError, match="the plan cuts no layer"):
        draw_plan(view_plan(PruningPlan(layers={}), None))


def test_a_measured_latency_and_resampling_are_shown(pruned: Path) -> None:
    plan = read_plan(pruned / "pruning.json")
    assert plan.stats is not None
    stats = replace(plan.stats, latency_ratio=0.51234, resampled=("a.conv1",), allocation="global")
    shown = "\n".join(lines(view_plan(replace(plan, stats=stats), None)))
    assert "latency ratio 0.512, as measured on ONNX Runtime" in shown
    assert "resampled: the inner channels of 1 layers" in shown and "allocation global" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--picture", "plan.svg"], "cannot write plan.svg: expected a name ending"),
        (["--picture", "nowhere/plan.png"], "there is no folder nowhere, make it first"),
        (["--verify"], "states no hashes: leave --verify out"),
    ],
)
def test_bad_arguments_exit_with_2(
    arguments: list[str], message: str, alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(alone), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_only_plans_have_pictures(pruned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(pruned), "--picture", "x.png"]) == 2
    assert "--picture draws a pruning plan, and" in capsys.readouterr().err


def test_a_file_that_is_no_plan_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.json").write_text('{"schema": 2}')
    assert main(["inspect", str(tmp_path / "other.json")]) == 2
    assert "pruning plan, top level: unknown keys [], missing keys" in capsys.readouterr().err
