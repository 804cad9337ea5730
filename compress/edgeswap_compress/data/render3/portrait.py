"""Portraits: whole heads for demonstrations and documentation, with the exact truth of a swap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.people.expression import draw_expression
from edgeswap_compress.data.people.head import load_head
from edgeswap_compress.data.people.identity import draw_identity
from edgeswap_compress.data.people.scene import draw_scene
from edgeswap_compress.data.people.stage import make_person, portrait_stage
from edgeswap_compress.data.render3.renderer import Renderer

if TYPE_CHECKING:
    from edgeswap_compress.data.people.expression import Expression
    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.identity import Adult
    from edgeswap_compress.data.people.scene import Scene
    from edgeswap_compress.data.render3.renderer import Picture

_SUPERSAMPLING = 2.0


def render_portrait(
    identity: Adult,
    expression: Expression,
    scene: Scene,
    size_px: int,
    *,
    worn: Adult | None = None,
    head: Head | None = None,
) -> Picture:
    """Render a whole head with shoulders, not aligned to anything.

    Args:
        identity: the person.
        expression: of the face.
        scene: light, pose and background.
        size_px: side of the square picture.
        worn: whose inner face the person wears, for the truth of a swap; their own if None.
        head: the morphable head, if it is loaded already.

    Returns:
        picture, inner-face mask and landmarks in its pixels.

    Raises:
        AssetMissing: a package has not been fetched.
        NoOffscreenRendering: there is no EGL.
    """
    model = head or load_head()
    wearer = make_person(model, identity)
    stage = portrait_stage(model, wearer, expression, scene, size_px)
    with Renderer(model, size_px=size_px, supersampling=_SUPERSAMPLING) as renderer:
        return renderer.shoot(stage, None if worn is None else make_person(model, worn))


def portrait_of(
    person: int, scene: int, size_px: int, *, worn: int | None = None, mild: float = 0.6
) -> Picture:
    """Render the portrait of a numbered person in a numbered scene; the same numbers, the same.

    Args:
        person: any number from 0; people here occur in no dataset.
        scene: any number from 0.
        size_px: side of the picture.
        worn: number of the person whose inner face is worn.
        mild: strength of the expression.
    """
    head = load_head()
    setting = _stream("scene", scene)
    expression = draw_expression(setting, head.units, strength=mild)
    place = draw_scene(setting, frontal=True)
    inner = None if worn is None else portrait_identity(head, worn)
    return render_portrait(
        portrait_identity(head, person), expression, place, size_px, worn=inner, head=head
    )


def portrait_identity(head: Head, person: int) -> Adult:
    """The identity of a numbered portrait."""
    return draw_identity(_stream("person", person), head.sliders, len(head.asymmetries))


def _stream(purpose: str, number: int) -> np.random.Generator:
    words = [*b"portrait", *purpose.encode(), number]
    return np.random.default_rng(np.random.SeedSequence(words))
