"""Rendering of groups: each picture from random streams that nothing else changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from edgeswap_compress.data.grid import Group, GroupSettings, picture_index
from edgeswap_compress.data.people.expression import draw_expression
from edgeswap_compress.data.people.identity import draw_identity
from edgeswap_compress.data.people.scene import draw_scene
from edgeswap_compress.data.people.stage import Person, crop_stage, make_person
from edgeswap_runtime.errors import EdgeswapFailure

if TYPE_CHECKING:
    from numpy.random import Generator

    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.render.groups import Shot
    from edgeswap_compress.data.render.studio import Studio
    from edgeswap_compress.data.render3.renderer import Picture, Renderer

MILD = 0.55
"""Strength of a source view's expression."""
_ATTEMPTS = 12
_MORE_ATTEMPTS = 24  # version 4's fringes hide a lot
_PEOPLE_ATTEMPTS = 8  # some people hide behind hair and beard in every scene
_IDENTITY, _SOURCE, _TARGET = range(3)  # what a random stream is for


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A random stream's address: the dataset's settings, a group, and one slot in it."""

    settings: GroupSettings
    group: int

    def stream(self, purpose: int, slot: int, attempt: int = 0) -> Generator:
        """Make an independent generator for each purpose, slot and attempt."""
        # The split's name is hashed in, so that no split repeats another's people.
        split = int.from_bytes(hashlib.sha256(self.settings.split.encode()).digest()[:4], "big")
        words = [self.settings.seed, split, self.group, purpose, slot, attempt]
        return np.random.default_rng(np.random.SeedSequence(words))


def render_group(renderer: Renderer | Studio, settings: GroupSettings, number: int) -> Group:
    """Render one group; the same settings and number give the same pictures.

    Args:
        renderer: of the settings' version.
        settings: what decides every pixel.
        number: of the group.

    Raises:
        EdgeswapFailure: a scene showed no whole face in any of several attempts.
    """
    if settings.renderer == 3:
        return _plain_group(cast("Renderer", renderer), settings, number)
    from edgeswap_compress.data.render.groups import draw_person

    studio = cast("Studio", renderer)
    place = _Place(settings=settings, group=number)
    draws = [0] * settings.identities
    while True:
        people = [
            draw_person(studio.head, place.stream(_IDENTITY, k, draw))
            for k, draw in enumerate(draws)
        ]
        try:
            return _shoot_people(studio, place, people)
        except _HiddenPerson as hidden:
            # Hair and beard hide this face in every scene, so that another person takes the place.
            draws[hidden.slot] += 1
            if draws[hidden.slot] == _PEOPLE_ATTEMPTS:
                raise _no_face(place, _PEOPLE_ATTEMPTS * _MORE_ATTEMPTS) from hidden


class _HiddenPerson(Exception):
    """The person of a slot shows no face in any of several scenes."""

    def __init__(self, slot: int) -> None:
        super().__init__(slot)
        self.slot = slot


def _shoot_people(studio: Studio, place: _Place, people: list[Person]) -> Group:
    """Photograph a group: each person once as source, and once with each inner face.

    Raises:
        _HiddenPerson: whose face no scene shows.
    """
    from edgeswap_compress.data.render.groups import shoot_scene

    def shoot(k: int, worn: list[Person | None], purpose: int) -> Shot:
        frontal, light = purpose == _SOURCE, place.settings.light
        for attempt in range(_MORE_ATTEMPTS):
            rng = place.stream(purpose, k, attempt)
            shot = shoot_scene(studio, rng, people[k], worn, frontal=frontal, light=light)
            if shot is not None:
                return shot
        raise _HiddenPerson(k)

    count = len(people)
    sources = [shoot(k, [None], _SOURCE) for k in range(count)]
    worn = [[None if a is b else a for a in people] for b in people]
    targets = [shoot(k, worn[k], _TARGET) for k in range(count)]
    return _join(sources, targets)


def _join(sources: list[Shot], targets: list[Shot]) -> Group:
    """The shots in the order of the module's docstring."""
    shots = [*sources, *targets]
    repeats = [len(shot.images) for shot in shots]
    return Group(
        images=np.concatenate([shot.images for shot in shots]),
        masks=np.repeat(np.stack([shot.mask for shot in shots]), repeats, axis=0),
        landmarks=np.concatenate([shot.landmarks for shot in shots]),
        occluders=np.repeat(np.stack([shot.occluder for shot in shots]), repeats, axis=0),
        scenes=tuple(shot.record for shot in shots),
    )


def _plain_group(renderer: Renderer, settings: GroupSettings, number: int) -> Group:
    """A group of version 3."""
    count, size = settings.identities, settings.size_px
    place = _Place(settings=settings, group=number)
    people = [group_person(renderer.head, place, k) for k in range(count)]
    group = Group(
        images=np.zeros((settings.pictures, size, size, 3), np.uint8),
        masks=np.zeros((settings.pictures, size, size), np.uint8),
        landmarks=np.zeros((settings.pictures, 5, 2), np.float32),
    )
    for k, person in enumerate(people):
        _store(group, [k], _shoot(renderer, place, person, [None], (_SOURCE, k)))
        worn = [None if other is person else other for other in people]
        where = [picture_index(count, k, inner) for inner in range(count)]
        _store(group, where, _shoot(renderer, place, person, worn, (_TARGET, k)))
    return group


def group_person(head: Head, place: _Place, slot: int) -> Person:
    """Draw one of a group's people."""
    rng = place.stream(_IDENTITY, slot)
    return make_person(head, draw_identity(rng, head.sliders, len(head.asymmetries)))


def _shoot(
    renderer: Renderer,
    place: _Place,
    wearer: Person,
    worn: list[Person | None],
    slot: tuple[int, int],
) -> list[Picture]:
    """Photograph one scene with each inner face; scenes that hide the face are drawn anew."""
    purpose, number = slot
    frontal = purpose == _SOURCE
    for attempt in range(_ATTEMPTS):
        rng = place.stream(purpose, number, attempt)
        expression = draw_expression(rng, renderer.head.units, strength=MILD if frontal else 1.0)
        scene = draw_scene(rng, frontal=frontal)
        stage = crop_stage(renderer.head, wearer, expression, scene, place.settings.size_px)
        pictures: list[Picture] = []
        for face in worn:
            pictures.append(renderer.shoot(stage, face))
            if not shows_whole_face(pictures[-1]):
                break
        else:
            return pictures
    raise _no_face(place, _ATTEMPTS)


def _no_face(place: _Place, attempts: int) -> EdgeswapFailure:
    return EdgeswapFailure(
        f"group {place.group} of split '{place.settings.split}', seed {place.settings.seed}: no "
        f"scene of {attempts} shows a whole face; choose another seed and report this"
    )


def shows_whole_face(picture: Picture) -> bool:
    """Tell whether all landmarks are in the picture, uncovered, and the exposure is usable."""
    size = len(picture.image)
    at = np.round(picture.landmarks).astype(int)
    if at.min() < 2 or at.max() > size - 3:
        return False
    inside = picture.mask > 127
    if (picture.mask[at[:, 1], at[:, 0]] < 64).any() or not 0.18 < inside.mean() < 0.85:
        return False
    skin = picture.image[inside]
    burnt = (skin.min(1) > 250).mean()
    return bool(22 < skin.mean() < 225 and burnt < 0.01)


def _store(group: Group, where: list[int], pictures: list[Picture]) -> None:
    group.images[where] = [picture.image for picture in pictures]
    group.landmarks[where] = [picture.landmarks for picture in pictures]
    group.masks[where] = np.max([picture.mask for picture in pictures], axis=0)
