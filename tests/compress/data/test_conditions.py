"""What renderer 4 draws at random, and its camera: named, within bounds, the same every time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeswap_compress.data.occluders.glasses import lens_material
from edgeswap_compress.data.occluders.solids import (
    ellipsoid,
    lathe,
    tube,
    turn_about,
    vertex_normals,
)
from edgeswap_compress.data.people.moods import draw_mood
from edgeswap_compress.data.people.variety import draw_detailed, lump_moves
from edgeswap_compress.data.render.blocks import quantize_blocks
from edgeswap_compress.data.render.conditions import draw_pose, light_scene
from edgeswap_compress.data.render.film import Film, blur, develop, exposure_for, grain_of, tone
from edgeswap_compress.data.render.lights import LIGHTS

HEAD: Any = SimpleNamespace(
    sliders=("nose/nose-hump-decr|incr", "mouth/mouth-scale-horiz-decr|incr", "head/head-oval"),
    asymmetries=np.zeros((6, 1, 3)),
)
UNITS = ("cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft",
         "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft",
         "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "jawOpen", "mouthSmileLeft",
         "mouthSmileRight", "mouthUpperUpLeft", "mouthUpperUpRight")  # fmt: skip


def pattern(size: int = 40) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (size, size, 3), np.uint8)


def test_people_are_adults_and_only_men_have_beards() -> None:
    people = [draw_detailed(np.random.default_rng(k), HEAD) for k in range(150)]
    assert draw_detailed(np.random.default_rng(3), HEAD) == people[3]
    assert {person.beard is not None for person in people if person.sex > 0.6} == {True, False}
    assert all(person.beard is None for person in people if person.sex < 0.6)
    for person in people:
        assert 0 <= person.age <= 0.85 and max(np.abs(person.sliders)) <= 1.25
        red, green, blue = person.enamel
        assert 0.3 < red <= 0.8 and red >= green >= blue, "ivory, never bluish"
    fringes = {draw_detailed(np.random.default_rng(k), HEAD, fringe=True).hair for k in range(40)}
    assert fringes == {"long2_alpha7", "junglebookhair", "bob01", "short03", "Braid01"}


def test_lumps_are_mirrored_and_local() -> None:
    base = np.array([[0.3, 7.0, 1.2], [-0.3, 7.0, 1.2], [2.5, 5.0, -0.6]], np.float32)
    moves = lump_moves(((0.3, 7.0, 1.2, 0.2, 0.05, 0.02, -0.01),), base)
    assert moves[0] == pytest.approx([0.05, 0.02, -0.01], abs=1e-3)
    assert moves[1] == pytest.approx([-0.05, 0.02, -0.01], abs=1e-3)
    assert np.abs(moves[2]).max() < 1e-6


def test_moods_are_named_and_a_show_of_teeth_lifts_the_lip() -> None:
    drawn = [draw_mood(np.random.default_rng(k), UNITS) for k in range(300)]
    assert {"plain", "smile", "teeth", "laugh", "talk", "open"} <= {name for name, _ in drawn}
    lip = UNITS.index("mouthUpperUpLeft")
    for name, expression in drawn:
        assert min(expression.weights) >= 0 and max(expression.weights) <= 1
        if name == "teeth":
            assert expression.weights[lip] > 0.15


def test_poses_reach_sixty_degrees_and_sources_stay_frontal() -> None:
    yaws = [draw_pose(np.random.default_rng(k), frontal=False).yaw_deg for k in range(300)]
    assert 50 < max(yaws) <= 60 and -60 <= min(yaws) < -50
    sources = [draw_pose(np.random.default_rng(k), frontal=True).yaw_deg for k in range(300)]
    assert np.abs(sources).max() <= 30 and np.std(sources) < 0.6 * np.std(yaws)


@pytest.mark.parametrize("kind", list(LIGHTS))
def test_every_light_leaves_pose_and_place(kind: str) -> None:
    scene = draw_pose(np.random.default_rng(1), frontal=False)
    lit, lamp, film = light_scene(np.random.default_rng(2), scene, kind)
    assert lamp.name == kind and 0.1 < lamp.level < 0.8 and 0 <= lamp.hardness <= 1
    assert (lit.yaw_deg, lit.distance_dm, lit.clothing) == (
        scene.yaw_deg,
        scene.distance_dm,
        scene.clothing,
    )
    assert np.linalg.norm(lit.key_direction) == pytest.approx(1)
    other = light_scene(np.random.default_rng(2), scene, "normal")[2]
    for field in ("seed", "contrast", "sharpen", "scale", "jpeg", "video", "denoise"):
        assert getattr(film, field) == getattr(other, field), "the same camera in another light"


def test_exposure_brings_light_to_its_level() -> None:
    for light in (0.02, 0.2, 3.0):
        factor = exposure_for(light, 0.5)
        assert tone(np.array(light * factor)) ** (1 / 2.2) == pytest.approx(0.5, abs=1e-6)


def test_blur_keeps_the_light_and_sharp_pictures_stay() -> None:
    light = np.zeros((64, 64, 1), np.float32)
    light[32, 32] = 1
    still = Film(seed=0)
    assert blur(light, still) is light
    for film in (Film(seed=0, focus_px=3.0), Film(seed=0, motion_px=8.0, motion_deg=30.0)):
        spread = blur(light, film)
        assert spread.sum() == pytest.approx(1, abs=1e-3) and spread.max() < 0.5


def test_compression_and_a_smaller_picture_lose_detail() -> None:
    light = pattern(64).astype(np.float32) / 255
    plain = develop(light, Film(seed=0), grain_of(Film(seed=0), 64)).astype(int)
    for film in (Film(seed=0, jpeg=50), Film(seed=0, video=30.0), Film(seed=0, scale=2.0)):
        lossy = develop(light, film, grain_of(film, 64)).astype(int)
        assert lossy.shape == plain.shape and np.abs(lossy - plain).mean() > 5


def test_blocks_are_faithful_at_a_small_step_and_coarse_at_a_large_one() -> None:
    gray = np.repeat(pattern(41)[:, :, :1], 3, axis=2)
    fine, coarse = (np.abs(quantize_blocks(gray, s).astype(int) - gray).mean() for s in (1.0, 60.0))
    assert fine < 1.5 and coarse > 10
    flat = np.full((24, 24, 3), 90, np.uint8)
    assert np.abs(quantize_blocks(flat, 8.0).astype(int) - 90).max() <= 2


def test_dark_lenses_hide_more_than_clear_ones() -> None:
    clear, dark = (
        [lens_material(np.random.default_rng(k), dark=dark).uniforms["tint"][3] for k in range(20)]
        for dark in (False, True)
    )
    assert max(clear) < 0.1 and min(dark) > 0.6


def test_shapes_are_closed_and_look_outwards() -> None:
    material = lens_material(np.random.default_rng(0), dark=False)
    ball = ellipsoid((1.0, 1.0, 1.0), material)
    normals = vertex_normals(ball.positions, ball.index)
    facing = (normals * ball.positions).sum(1)
    inside = np.abs(ball.positions[:, 1]) < 0.9
    assert (np.abs(facing[inside]) > 0.8).all() and len(set(np.sign(facing[inside]))) == 1
    pipe = tube(np.array([[0, 0, 0], [0, 1, 0], [0, 2, 0]], float), 0.1, material)
    assert np.hypot(pipe.positions[:, 0], pipe.positions[:, 2]) == pytest.approx(0.1, abs=1e-5)
    cup = lathe(np.array([[0.2, 0.0], [0.3, 1.0]]), material)
    assert cup.positions[:, 1].max() == 1 and cup.index.max() < len(cup.positions)
    assert turn_about([0, 0, 1], 90) @ [1, 0, 0] == pytest.approx([0, 1, 0], abs=1e-9)
