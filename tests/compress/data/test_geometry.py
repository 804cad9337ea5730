"""Reading meshes, surfaces, the split, poses and cameras, on meshes of a few vertices."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeswap_compress.data.people._face import Pose, make_pose, rotation, wear_inner_face
from edgeswap_compress.data.people.camera import crop_camera, look_at, template
from edgeswap_compress.data.people.head import _Reducer, _rim, _slider_files, inner_weight
from edgeswap_compress.data.people.makehuman import read_base, read_proxy, read_target, triangulate
from edgeswap_compress.data.people.scene import draw_scene
from edgeswap_compress.data.people.surface import make_fitted, make_surface, surface_arrays
from edgeswap_compress.data.render3.visibility import sphere
from edgeswap_runtime.faces.align import TEMPLATE_96

OBJ = """# a square and a triangle
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 5 5 5
vt 0 0
vt 1 0
vt 1 1
vt 0 1
g body
f 1/1 2/2 3/3 4/4
g joint-neck
f 1/1 2/2 5/3
"""


def test_the_base_mesh_is_read_by_group(tmp_path: Path) -> None:
    path = tmp_path / "base.obj"
    path.write_text(OBJ)
    base = read_base(path)
    assert base.vertices.shape == (5, 3) and base.uvs.shape == (4, 2)
    assert base.faces["body"] == [[(0, 0), (1, 1), (2, 2), (3, 3)]]
    assert base.group_vertices("joint-neck").tolist() == [0, 1, 4]
    assert triangulate(base.faces["body"])[:, :, 0].tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize("packed", [False, True])
def test_targets_are_sparse_moves(tmp_path: Path, packed: bool) -> None:
    text = "# a comment\n3 .5 0 -1\n\n7 0 2 0\n"
    path = tmp_path / ("a.target.gz" if packed else "a.target")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    index, moves = read_target(path)
    assert index.tolist() == [3, 7]
    assert moves.tolist() == [[0.5, 0, -1], [0, 2, 0]]


def test_proxies_decode_quads_triangles_and_skipped_properties(tmp_path: Path) -> None:
    quad = [1 | 8, 0, 1, 2, 3, 3, 2, 1, 0]
    # A triangle with material, face normal, vertex normals, face color and vertex colors.
    rich = [2 | 8 | 16 | 32 | 64 | 128, 0, 1, 2, 99, 0, 1, 2, 50, 60, 61, 62, 70, 80, 81, 82]
    plain = [0, 1, 2, 3]
    raw: dict[str, Any] = {
        "faces": quad + rich + plain,
        "uvs": [[0, 0, 1, 0, 1, 1, 0, 1]],
        "ref_vIdxs": [[0, 1, 2]] * 4,
        "weights": [[1, 0, 0]] * 4,
        "offsets": [[0, 0, 0.5]] * 4,
    }
    path = tmp_path / "proxy.json"
    path.write_text(json.dumps(raw))
    proxy = read_proxy(path)
    assert proxy.corners[:, :, 0].tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2], [1, 2, 3]]
    assert proxy.corners[:, :, 1].tolist() == [[3, 2, 1], [3, 1, 0], [0, 1, 2], [0, 0, 0]]
    assert proxy.offsets.shape == (4, 3)


def test_opposite_targets_become_one_slider(tmp_path: Path) -> None:
    folder = tmp_path / "nose"
    folder.mkdir()
    names = ["l-nose-x-decr", "r-nose-x-decr", "nose-x-incr", "nose-oval", "nose-head-age-incr"]
    for name in names:
        (folder / f"{name}.target.gz").write_bytes(b"")
    for other in ("mouth", "eyes", "head", "cheek", "chin", "ears", "forehead", "eyebrows", "neck"):
        (tmp_path / other).mkdir()
    up, down = _slider_files(tmp_path)
    assert sorted(up) == ["nose/nose-oval", "nose/nose-x-decr|incr"]
    assert [path.name for path in down["nose/nose-x-decr|incr"]] == [
        "l-nose-x-decr.target.gz",
        "r-nose-x-decr.target.gz",
    ]


def test_dense_targets_keep_only_what_is_needed(tmp_path: Path) -> None:
    reducer = _Reducer(10, [np.array([3, 5]), np.array([[5, 8]])])
    (tmp_path / "a.target").write_text("4 9 9 9\n8 1 2 3\n")
    assert reducer.kept.tolist() == [3, 5, 8]
    assert reducer.dense(tmp_path / "a.target").tolist() == [[0, 0, 0], [0, 0, 0], [1, 2, 3]]


def cube() -> tuple[np.ndarray, np.ndarray]:
    """Vertices (8, 3) of a cube around 0 and its outward triangles (12, 3, 2)."""
    points = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return points, triangulate([[(v, 0) for v in quad] for quad in quads])


def test_normals_of_a_cube_point_outwards() -> None:
    points, corners = cube()
    surface = make_surface(surface_arrays(corners, np.zeros((1, 2), np.float32)), 9)
    normals = surface.normals(np.concatenate([points, [[0, 0, 0]]]).astype(np.float32))
    assert (normals[:8] * points).sum(1).min() > 1.4
    np.testing.assert_allclose(np.linalg.norm(normals[:8], axis=1), 1, atol=1e-5)
    assert (normals[8] == 0).all(), "a position without triangles has no normal"


def test_fitted_meshes_follow_the_head() -> None:
    points, corners = cube()
    arrays = surface_arrays(corners[:1], np.zeros((1, 2), np.float32))
    arrays |= {
        "refs": np.array([[0, 1, 2], [3, 4, 5]]),
        "weights": np.array([[0.5, 0.5, 0], [0, 0, 1]], np.float32),
        "offsets": np.array([[0, 0, 0], [0, 0, 2]], np.float32),
    }
    arrays["corners"] = np.array([[0, 1, 1]], np.int32)
    fitted = make_fitted(arrays, 8)
    expected = [(points[0] + points[1]) / 2, points[5] + [0, 0, 2]]
    np.testing.assert_allclose(fitted.fit(points), expected)


def test_the_inner_face_ends_before_ears_crown_and_neck() -> None:
    places = np.array(
        [
            [0, 7, 1.6],
            [0.3, 7.28, 1.4],
            [0.9, 7.1, 0.1],
            [0, 8.4, 1.0],
            [0, 5.8, 0.9],
            [0, 7, -0.8],
        ],
        np.float32,
    )
    assert inner_weight(places).tolist() == [1, 1, 0, 0, 0, 0]


def test_the_rim_covers_every_triangle_that_moves() -> None:
    inner = np.array([1, 0.5, 0, 0, 0], np.float32)
    triangles = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4]])
    rim = _rim(inner, triangles)
    assert rim[:2].tolist() == [1, 0.5] and 0 < rim[2] < 0.1 and 0 < rim[3] < 0.1 and rim[4] == 0


def head_of(inner: np.ndarray, joints: dict[str, np.ndarray] | None = None) -> Any:
    return SimpleNamespace(inner=inner, joints=joints)


def test_the_split_leaves_the_outline_alone() -> None:
    rng = np.random.default_rng(0)
    outer, source = rng.normal(size=(2, 60, 3)).astype(np.float32)
    weight = np.clip(np.linspace(-0.5, 1.5, 60), 0, 1).astype(np.float32)
    worn = wear_inner_face(head_of(weight), outer, source)
    assert np.array_equal(worn[weight == 0], outer[weight == 0])
    assert np.abs(worn - outer)[weight == 1].mean() > 0.5
    # The same face, larger and elsewhere, changes nothing: only its proportions count.
    moved = 1.3 * outer + np.float32(4)
    np.testing.assert_allclose(wear_inner_face(head_of(weight), outer, moved), outer, atol=2e-5)


def test_poses_turn_the_head_and_keep_the_body_stiller() -> None:
    joints = {"neck": np.array([0])}
    outer = np.array([[0, 5.9, 0], [0, 7.5, 1.5], [0, 4.6, 1.0]], np.float32)
    scene = draw_scene(np.random.default_rng(1))
    pose = make_pose(head_of(np.zeros(3), joints), outer, scene)
    assert isinstance(pose, Pose)
    posed = pose.apply(outer)
    turn = rotation(scene.yaw_deg, scene.pitch_deg, scene.roll_deg)
    np.testing.assert_allclose(posed[1], pose.pivot + turn @ (outer[1] - pose.pivot), atol=1e-5)
    assert np.linalg.norm(posed[2] - outer[2]) < np.linalg.norm(turn @ outer[2] - outer[2])


def test_yaw_turns_to_image_right_and_pitch_down() -> None:
    forward = np.array([0, 0, 1])
    assert (rotation(20, 0, 0) @ forward)[0] > 0.3
    assert (rotation(0, 20, 0) @ forward)[1] < -0.3
    np.testing.assert_allclose(rotation(10, 20, 30) @ rotation(10, 20, 30).T, np.eye(3), atol=1e-6)


def test_a_camera_puts_its_center_in_the_middle() -> None:
    camera = look_at(np.array([0, 7, 1]), 10, half_height_dm=2, size_px=100)
    pixels = camera.project(np.array([[0, 7, 1], [2, 9, 1], [-2, 5, 1]]))
    np.testing.assert_allclose(pixels, [[49.5, 49.5], [99.5, -0.5], [-0.5, 99.5]], atol=1e-9)


def flat_landmarks(size_px: int) -> np.ndarray:
    """Landmarks in a plane before the camera, in the template's own proportions."""
    x, y = ((template(size_px) - size_px / 2) / size_px).T
    return np.column_stack([x + 0.3, 7 - y, np.full(5, 1.2)])


@pytest.mark.parametrize("size_px", [96, 48])
def test_aligned_landmarks_lie_on_the_template(size_px: int) -> None:
    points = flat_landmarks(size_px)
    scene = draw_scene(np.random.default_rng(2), jitter=False)
    camera = crop_camera(points, points.mean(0), scene, size_px)
    np.testing.assert_allclose(camera.project(points), template(size_px), atol=0.05)
    np.testing.assert_allclose(template(96), TEMPLATE_96)


def test_jitter_moves_the_crop_as_the_scene_says() -> None:
    points = flat_landmarks(96)
    scene = draw_scene(np.random.default_rng(5))
    pixels = crop_camera(points, points.mean(0), scene, 96).project(points)
    spread = np.linalg.norm(pixels - pixels.mean(0)) / np.linalg.norm(
        template(96) - template(96).mean(0)
    )
    assert spread == pytest.approx(scene.crop_scale, abs=2e-3)
    assert 0.2 < np.abs(pixels - template(96)).max() < 6


def test_directions_are_unit_and_even() -> None:
    directions = sphere(200)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(directions.mean(0), 0, atol=0.01)
