"""Datasets on disk: what is written, what is read back, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeswap_compress.data import read_dataset
from edgeswap_compress.data._sheet import contact_sheet, mark_points, save_sheet
from edgeswap_compress.data.grid import Group, GroupSettings, picture_index, triplets
from edgeswap_compress.data.shard_files import map_shard, read_scenes, shard_name, write_shard
from edgeswap_compress.data.shards import KIND, MANIFEST, SCHEMA, Dataset
from edgeswap_compress.errors import (
    DatasetDamaged,
    DatasetMismatch,
    InvalidSettings,
)
from edgeswap_runtime.errors import BadFolder, OutputExists
from edgeswap_runtime.files import sha256_file

SETTINGS = GroupSettings(identities=2, size_px=16, renderer=3)


def noise_group(seed: int) -> Group:
    rng = np.random.default_rng(seed)
    count, size = SETTINGS.pictures, SETTINGS.size_px
    return Group(
        images=rng.integers(0, 256, (count, size, size, 3), np.uint8),
        masks=rng.integers(0, 256, (count, size, size), np.uint8),
        landmarks=rng.uniform(0, size, (count, 5, 2)).astype(np.float32),
    )


def write_dataset(folder: Path, groups: int = 3, per_shard: int = 2) -> list[Group]:
    folder.mkdir()
    made = [noise_group(k) for k in range(groups)]
    shards = []
    for index, first in enumerate(range(0, groups, per_shard)):
        path = folder / shard_name(index)
        write_shard(path, made[first : first + per_shard])
        shards.append(
            {
                "file": path.name,
                "groups": min(per_shard, groups - first),
                "bytes": path.stat().st_size,
                "sha256": sha256_file(path),
            }
        )
    manifest = {
        "schema": SCHEMA,
        "kind": KIND,
        "settings": SETTINGS.to_json(),
        "groups": groups,
        "pictures": groups * SETTINGS.pictures,
        "groups_per_shard": per_shard,
        "shards": shards,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return made


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "set")
    dataset = read_dataset(tmp_path / "set")
    dataset.verify()
    assert len(dataset) == len(dataset.groups) == 3 and dataset.identities == 2
    for number, group in enumerate(made):
        assert np.array_equal(dataset.images(number), group.images)
        assert np.array_equal(dataset.masks(number), group.masks)
        assert np.array_equal(dataset.landmarks(number), group.landmarks)
    assert isinstance(dataset.images(0).base, np.memmap) or isinstance(dataset.images(0), np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        dataset.images(0)[0] = 0
    with pytest.raises(IndexError, match="group 3: expected 0 to 2"):
        dataset.images(3)


def test_safetensors_reads_the_shards(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    group = noise_group(1)
    write_shard(tmp_path / "a.safetensors", [group])
    tensors = safetensors.load_file(tmp_path / "a.safetensors")
    assert np.array_equal(tensors["images"][0], group.images)
    assert np.array_equal(tensors["landmarks"][0], group.landmarks)


def test_occluders_and_scenes_are_read_back_and_older_sets_have_none(tmp_path: Path) -> None:
    write_dataset(tmp_path / "old")
    old = read_dataset(tmp_path / "old")
    assert old.scenes(0) == [] and old.occluders(0).max() == 0
    assert old.occluders(0).shape == old.masks(0).shape
    made = noise_group(5)
    records = tuple({"light": f"{slot}"} for slot in range(4))
    path = tmp_path / "new" / shard_name(0)
    path.parent.mkdir()
    write_shard(path, [replace(made, occluders=made.masks[::-1], scenes=records)])
    shard = {"file": path.name, "groups": 1, "bytes": path.stat().st_size, "sha256": "0" * 64}
    manifest = json.loads((tmp_path / "old" / MANIFEST).read_text())
    manifest |= {"groups": 1, "shards": [shard], "renderer_version": 4}
    (tmp_path / "new" / MANIFEST).write_text(json.dumps(manifest))
    new = read_dataset(tmp_path / "new")
    assert np.array_equal(new.occluders(0), made.masks[::-1])
    assert [record["light"] for record in new.scenes(0)] == ["0", "1", "2", "2", "3", "3"]
    with pytest.raises(IndexError, match="group 1: expected 0 to 0"):
        new.scenes(1)


def test_scenes_that_are_no_lists_are_refused(tmp_path: Path) -> None:
    group = noise_group(5)
    path = tmp_path / "a.safetensors"
    write_shard(path, [replace(group, occluders=group.masks, scenes=({}, {}, {}, {}))])
    assert read_scenes(path) == [[{}, {}, {}, {}]]
    path.write_bytes(path.read_bytes().replace(b"[[{},{},{},{}]]", b"[[{},{},{},{}],"))
    with pytest.raises(DatasetDamaged, match="expected scenes in its header, found no JSON"):
        read_scenes(path)
    path.write_bytes(path.read_bytes().replace(b"[[{},{},{},{}],", b"[{},{},{},{},1]"))
    with pytest.raises(DatasetDamaged, match="expected scenes of 1 groups, found another number"):
        read_scenes(path)


def test_triplets_share_scene_and_inner_face() -> None:
    rows = triplets(3)
    assert len(rows) == 3 * 3 * 2
    for source, target, truth in rows:
        scene, inner = divmod(truth - 3, 3)
        assert source == inner and (target - 3) // 3 == scene and target != truth
    assert picture_index(3, 2, 1) == 3 + 2 * 3 + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "test"}, "split 'test': expected one of train, heldout"),
        ({"seed": -1}, "seed -1: expected 0 to"),
        ({"identities": 1}, "identities 1: expected 2 to 16"),
        ({"size_px": 4}, "size_px 4: expected 16 to 1024"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        GroupSettings(**change)  # type: ignore[arg-type]


def test_a_missing_dataset_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="edgeswap data render"):
        read_dataset(tmp_path)


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set")
    path = tmp_path / "set" / shard_name(1)
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)
    dataset = read_dataset(tmp_path / "set")
    with pytest.raises(DatasetDamaged, match=r"shard-00001.* is damaged: expected sha256"):
        dataset.verify()


def test_a_short_shard_is_found_when_opened(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set")
    path = tmp_path / "set" / shard_name(0)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetDamaged, match=r"expected \d+ bytes, found \d+; remove that file"):
        read_dataset(tmp_path / "set")
    path.unlink()
    with pytest.raises(DatasetDamaged, match="found 0"):
        read_dataset(tmp_path / "set")


def test_headers_that_lie_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(DatasetDamaged, match="found no file"):
        map_shard(path)
    path.write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    with pytest.raises(DatasetDamaged, match="expected a safetensors header"):
        map_shard(path)
    path.write_bytes((4).to_bytes(8, "little") + b"nope")
    with pytest.raises(DatasetDamaged, match="expected a shard's header"):
        map_shard(path)
    for entry in (
        {"dtype": "U8", "shape": [4], "data_offsets": [0, 400]},
        {"dtype": "U8", "shape": [400], "data_offsets": [0, 400]},
        {"dtype": "U8", "shape": [-4, -1], "data_offsets": [0, 4]},
    ):
        text = json.dumps({"images": entry}).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
        with pytest.raises(DatasetDamaged, match="bytes of images"):
            map_shard(path)
    text = json.dumps({"images": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(DatasetDamaged, match="expected landmarks, masks, found no such tensor"):
        map_shard(path)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", DatasetDamaged, "expected JSON"),
        ('{"kind": "bundle"}', DatasetDamaged, "expected kind edgeswap-dataset"),
        ('{"kind": "edgeswap-dataset", "schema": 9}', DatasetMismatch, "schema 9, expected 1"),
    ],
)
def test_other_manifests_are_refused(
    tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(error, match=message):
        read_dataset(tmp_path)


def test_sheets_show_source_target_truth_mask_and_landmarks(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "set")
    dataset = read_dataset(tmp_path / "set")
    sheet = contact_sheet(dataset, [0, 2], rows=2)
    assert sheet.shape == (2 * 16, 2 * 5 * 16, 3)
    source, target, truth = triplets(2)[0]
    for column, picture in enumerate((source, target, truth)):
        tile = sheet[:16, 16 * column : 16 * (column + 1)]
        assert np.array_equal(tile, made[0].images[picture])
    out = tmp_path / "sheet.png"
    save_sheet(dataset, out, [1], rows=1)
    with Image.open(out) as picture:
        assert picture.size == (80, 16)
    with pytest.raises(OutputExists):
        save_sheet(dataset, out, [1], rows=1)


def test_sheets_show_what_stands_before_a_face_in_red(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_dataset(tmp_path / "set")
    covers = np.random.default_rng(9).integers(0, 256, made[0].masks.shape, np.uint8)
    monkeypatch.setattr(Dataset, "occluders", lambda self, group: covers)
    sheet = contact_sheet(read_dataset(tmp_path / "set"), [0], rows=1)
    _, _, truth = triplets(2)[0]
    mask, tile = made[0].masks[truth], sheet[:16, 3 * 16 : 4 * 16]
    assert np.array_equal(tile[..., 0], np.maximum(mask, covers[truth]))
    assert np.array_equal(tile[..., 1], mask) and np.array_equal(tile[..., 2], mask)


def test_marks_are_drawn_on_a_copy() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    marked = mark_points(image, np.array([[5.2, 1.1], [99, -3]], np.float32))
    assert image.max() == 0
    assert {tuple(at) for at in np.argwhere(marked.any(2))} == {(1, 5), (0, 5)}


def edit_manifest(folder: Path, **changes: object) -> None:
    stated = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(stated | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": "3"}, "manifest.groups is of type str, expected int"),
        ({"groups": 5}, "expected 2 groups in shard-00001.safetensors, found 1"),
        ({"groups_per_shard": 0}, "groups_per_shard is 0, expected 1 to 10 000"),
        ({"shards": {}}, "manifest.shards is of type dict, expected list"),
        ({"settings": None}, "manifest.settings is of type NoneType"),
        ({"settings": SETTINGS.to_json() | {"size_px": 32}}, r"images of \(2, 6, 32, 32, 3\)"),
    ],
)
def test_a_manifest_that_does_not_fit_is_told_at_opening(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    write_dataset(tmp_path / "set")
    edit_manifest(tmp_path / "set", **changes)
    with pytest.raises(DatasetDamaged, match=message):
        read_dataset(tmp_path / "set")


def test_landmarks_that_are_no_places_are_told_at_opening(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", groups=1)
    file = tmp_path / "set" / shard_name(0)
    group = noise_group(0)
    group.landmarks[0, 0] = np.nan
    write_shard(file, [group])
    with pytest.raises(DatasetDamaged, match="expected landmarks within 100000 pixels"):
        read_dataset(tmp_path / "set")
