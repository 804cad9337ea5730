"""Groups of pictures: identities × scenes, so that few renders give many triplets.

With K people a group has K · (K + 1) pictures:
- `0 .. K-1`: source views; picture a shows person a, frontal, with a mild expression;
- `K + b·K + a`: person b in target scene b, wearing the inner face of person a. With a = b it is
  the untouched person b. All K pictures of one scene are equal wherever the mask is 0.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from edgeswap_compress.data.people.expression import draw_expression
from edgeswap_compress.data.people.identity import draw_identity
from edgeswap_compress.data.people.scene import draw_scene
from edgeswap_compress.data.people.stage import Person, crop_stage, make_person
from edgeswap_compress.data.render.lights import ANY_LIGHT, LIGHTS
from edgeswap_compress.errors import InvalidSettings
from edgeswap_runtime.errors import EdgeswapFailure

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.render.groups import Shot
    from edgeswap_compress.data.render.studio import Studio
    from edgeswap_compress.data.render3.renderer import Picture, Renderer

SPLITS = ("train", "heldout")
RENDERERS = (3, 4)
"""Versions whose pictures can be rendered: 4 knows occluders, any light and a camera."""
MILD = 0.55
"""Strength of a source view's expression."""
_ATTEMPTS = 12
_MORE_ATTEMPTS = 24  # version 4's fringes hide a lot
_PEOPLE_ATTEMPTS = 8  # some people hide behind hair and beard in every scene
_IDENTITY, _SOURCE, _TARGET = range(3)  # what a random stream is for


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """What decides every pixel of a group, besides its number.

    Attributes:
        split: "train" or "heldout"; no person of one occurs in the other.
        seed: of the dataset.
        identities: people per group (K).
        size_px: side of the pictures.
        supersampling: samples per pixel and axis.
        renderer: version that draws; the same version draws the same pixels for ever.
        light: kind of light of every scene, or "any"; people, poses and occluders stay the same
            whatever it is. Version 4 only.
    """

    split: str = "train"
    seed: int = 0
    identities: int = 4
    size_px: int = 96
    supersampling: float = 1.5
    renderer: int = RENDERERS[-1]
    light: str = ANY_LIGHT

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InvalidSettings(f"split '{self.split}': expected one of {', '.join(SPLITS)}")
        bounds = {"seed": (0, 2**32), "identities": (2, 16), "size_px": (16, 1024),
                  "supersampling": (1, 4), "renderer": (0, 1000)}  # fmt: skip
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise InvalidSettings(f"{name} {getattr(self, name)}: expected {low} to {high}")
        kinds = (ANY_LIGHT, *LIGHTS) if self.renderer > 3 else (ANY_LIGHT,)
        if self.light not in kinds:
            raise InvalidSettings(f"light '{self.light}': expected one of {', '.join(kinds)}")

    def check_renderer(self) -> None:
        """Refuse a version that can be read but no longer, or not yet, rendered.

        Raises:
            InvalidSettings: with the versions that can.
        """
        if self.renderer not in RENDERERS:
            raise InvalidSettings(f"renderer {self.renderer}: expected one of {list(RENDERERS)}")

    @classmethod
    def recorded(cls, settings: dict[str, Any], renderer: int) -> GroupSettings:
        """The settings that a dataset's manifest states beside its renderer's version."""
        return cls(**{"renderer": renderer, **settings})

    def to_json(self) -> dict[str, Any]:
        """What a manifest states; the renderer's version stands beside it."""
        values = {name: value for name, value in asdict(self).items() if name != "renderer"}
        if self.renderer == 3:
            del values["light"]
        return values

    @property
    def pictures(self) -> int:
        """Count the pictures of a group."""
        return self.identities * (self.identities + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The rendered pictures of a group, in the order of the module's docstring.

    Attributes:
        images: (P, S, S, 3) uint8 RGB.
        masks: (P, S, S) uint8; the pictures of one scene share theirs, the union.
        landmarks: (P, 5, 2) float32, pixels.
        occluders: (P, S, S) uint8, opacity of what stands before the inner face; None in version 3.
        scenes: what each source view (K) and each target scene (K) is like, as JSON values.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    occluders: NDArray[np.uint8] | None = None
    scenes: tuple[dict[str, Any], ...] = ()


def picture_index(identities: int, scene: int, inner: int) -> int:
    """Give the position in a group of scene b's person wearing inner face a."""
    return identities + scene * identities + inner


def triplets(identities: int) -> NDArray[np.int64]:
    """List all (source, target, truth) positions of a group whose source is a source view: (T, 3).

    The target is a scene's person wearing any inner face but the source's, so T = K·K·(K-1). Any
    other picture that wears the same inner face would do as a source too.
    """
    people = range(identities)
    rows = [
        (a, picture_index(identities, b, worn), picture_index(identities, b, a))
        for b in people
        for a in people
        for worn in people
        if worn != a
    ]
    return np.array(rows, np.int64)


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
