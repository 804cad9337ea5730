"""Tracks and smoothing, on faces whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime.faces.detect import Face
from edgeswap_runtime.faces.templates import ARCFACE_112
from edgeswap_runtime.pictures.portraits import packaged_portraits
from edgeswap_runtime.video.smooth import smooth, spread_px
from edgeswap_runtime.video.tracks import FaceTracker

SHAPE = (np.array(ARCFACE_112) - np.mean(ARCFACE_112, 0)) * 0.5
RATE = 25.0


def face(x: float, y: float, score: float = 0.9) -> Face:
    points = SHAPE + np.array([x, y])
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    return Face(box=(left, top, right, bottom), landmarks_px=points, score=score)


def scene(people: list[tuple[int, float, float]]) -> np.ndarray:
    """A picture with parts of portraits around the faces; later ones in front."""
    picture = Image.new("RGB", (320, 160), (90, 100, 110))
    for person, x, y in people:
        with Image.open(packaged_portraits()[person]) as portrait:
            tile = portrait.convert("RGB").resize((56, 56))
        picture.paste(tile, (round(x) - 28, round(y) - 28))
    return np.asarray(picture)


def test_a_still_face_stops_trembling() -> None:
    generator, last, raw, smoothed = np.random.default_rng(0), None, [], []
    for at in range(100):
        raw.append(SHAPE + 50 + generator.normal(0, 0.5, SHAPE.shape))
        last = smooth(last, raw[-1], at / RATE)
        smoothed.append(last.points_px)

    def jitter(points: list[np.ndarray]) -> float:
        return float(np.abs(np.diff(np.array(points[20:]), axis=0)).mean())

    assert jitter(smoothed) < 0.4 * jitter(raw)


@pytest.mark.parametrize("speed_px_s", [5.0, 40.0, 400.0])
def test_a_moving_face_lags_little(speed_px_s: float) -> None:
    last = None
    for at in range(50):
        truth = SHAPE + np.array([speed_px_s * at / RATE, 0])
        last = smooth(last, truth, at / RATE)
    assert last is not None
    assert np.abs(last.points_px - truth).max() < 0.04 * spread_px(SHAPE)


def walk_past(tracker: FaceTracker, *, covered_px: float, back_up: bool) -> list[list[float]]:
    """Person 0 goes right, person 1 left; they pass each other. Returns chosen centers - truth."""
    errors = []
    for at in range(60):
        x = 60.0 + (200 * at / 59 if not back_up else 100 - abs(100 - 200 * at / 59))
        other = 320 - x
        picture = scene([(3, other, 80.0), (5, x, 80.0)])
        faces = [face(x, 80.0)]
        if abs(x - other) > covered_px:
            faces.append(face(other, 80.0))
        chosen = tracker.update(picture, faces[:: -1 if at % 2 else 1], at / RATE)
        errors.append([float(f.landmarks_px.mean(0)[0]) - x for f in chosen])
    return errors


@pytest.mark.parametrize("covered_px", [12.0, 30.0])
@pytest.mark.parametrize("back_up", [False, True])
def test_people_who_pass_are_not_exchanged(covered_px: float, back_up: bool) -> None:
    """Crossing, or meeting and turning back; the detector sees one where they overlap."""
    tracker = FaceTracker("largest")
    errors = walk_past(tracker, covered_px=covered_px, back_up=back_up)
    assert all(len(error) <= 1 and abs(sum(error)) < 4 for error in errors)
    assert sum(map(len, errors)) >= 58


@pytest.mark.parametrize(("frames", "covered_px"), [(60, 30), (120, 60)])
def test_the_person_behind_is_found_again(frames: int, covered_px: int) -> None:
    """Chosen at the far side: covered for a moment, never replaced by the one in front."""
    tracker = FaceTracker("largest")
    for at in range(frames):
        x = 60.0 + 200 * at / (frames - 1)
        other = 320 - x
        picture = scene([(5, x, 80.0), (3, other, 80.0)])
        covered = at > 0 and abs(x - other) < covered_px
        faces = [face(x, 80.0)] * (not covered) + [face(other, 80.0)] * (at > 0)
        chosen = tracker.update(picture, faces, at / RATE)
        assert len(chosen) == 1 or covered
        assert all(abs(f.landmarks_px.mean(0)[0] - x) < 4 for f in chosen)
    assert len(chosen) == 1


def test_a_missed_face_is_held_while_it_is_there_and_no_longer() -> None:
    tracker, there = FaceTracker("all"), scene([(3, 100.0, 80.0)])
    gone = scene([])
    for at in range(10):
        assert len(tracker.update(there, [face(100.0, 80.0)], at / RATE)) == 1
    assert len(tracker.update(there, [], 10 / RATE)) == 1
    assert len(tracker.update(gone, [], 11 / RATE)) == 0
    for at in range(12, 20):
        found = tracker.update(there, [], at / RATE)
        assert len(found) == (at / RATE - 9 / RATE <= 0.2)


def test_a_cut_ends_all_tracks() -> None:
    tracker = FaceTracker("largest")
    tracker.update(scene([(3, 100.0, 80.0)]), [face(100.0, 80.0)], 0.0)
    bright = np.full((160, 320, 3), 250, np.uint8)
    bright[52:108, 72:128] = scene([(5, 100.0, 80.0)])[52:108, 72:128]
    assert len(tracker.update(bright, [face(100.0, 80.0)], 0.04)) == 1
    assert tracker.count == 2


def test_restored_tracks_go_on_the_same() -> None:
    one, other = FaceTracker(1), FaceTracker(1)
    generator = np.random.default_rng(1)
    for at in range(20):
        x = 60.0 + 3 * at + generator.normal()
        picture = scene([(3, x, 80.0)])
        first = one.update(picture, [face(x, 80.0)], at / RATE)
        second = other.update(picture, [face(x, 80.0)], at / RATE)
        assert (first[0].landmarks_px == second[0].landmarks_px).all()
        state = json.loads(json.dumps(other.to_json()))
        other = FaceTracker(1)
        other.restore(state)


class Detector:
    """Finds the faces it is told of, as `Swapper.detect` does, and notes how it was asked."""

    def __init__(self) -> None:
        self.faces: list[Face] = []
        self.asked: list[tuple[int, bool]] = []

    def __call__(
        self, picture: np.ndarray, near: list[Face], *, everywhere: bool
    ) -> tuple[Face, ...]:
        self.asked.append((len(near), everywhere))
        return tuple(self.faces)


def test_the_whole_picture_is_searched_twice_a_second_and_after_a_cut() -> None:
    tracker, detector = FaceTracker("largest"), Detector()
    detector.faces = [face(100.0, 80.0)]
    for at in range(26):
        (found,) = tracker.find(scene([(3, 100.0, 80.0)]), detector, at / RATE)
        assert found.chosen and found.place == found.number == 1
    assert [at for at, (_, everywhere) in enumerate(detector.asked) if everywhere] == [0, 13]
    assert [near for near, _ in detector.asked] == [0] + [1] * 25
    tracker.find(np.full((160, 320, 3), 250, np.uint8), detector, 26 / RATE)
    assert detector.asked[-1] == (0, True)


def test_places_go_from_left_to_right_and_a_free_one_is_given_again() -> None:
    tracker, detector = FaceTracker("largest"), Detector()
    left, middle, right = (3, 60.0, 80.0), (5, 150.0, 80.0), (4, 250.0, 80.0)
    detector.faces = [face(250.0, 80.0), face(60.0, 80.0)]
    found = tracker.find(scene([left, right]), detector, 0.0)
    assert [one.place for one in found] == [2, 1] and [one.chosen for one in found] == [True, False]
    detector.faces = [face(60.0, 80.0)]
    for at in range(1, 60):
        tracker.find(scene([left]), detector, at / RATE)
    detector.faces = [face(60.0, 80.0), face(150.0, 80.0)]
    found = tracker.find(scene([left, middle]), detector, 60 / RATE)
    assert {one.number: one.place for one in found} == {2: 1, 3: 2}
