"""A pruning plan: which modules, channels, heads and norm groups of a U-Net stay, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from typing import Any, Literal, get_args

from edgeswap_compress._pruning_errors import BadPlan
from edgeswap_compress.plan._parse import from_runs, integers, mapping, object_of, to_runs

SCHEMA = 2
WIDTH_ONLY = 1  # the schema before modules could be dropped; still read, and written back as it was
MAX_WIDTH = 1 << 20  # no layer is wider; a damaged file must not make us count to a billion

DropKind = Literal["identity", "shortcut", "layer"]
"""What stays of a dropped module.

    identity  its input: a residual module whose input and output have one shape
    shortcut  its shortcut path: a resnet that changes channels or resolution
    layer     nothing, its skip connection neither: a resnet of a down or up block, named here,
              with the attention beside it
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The indices of one axis of a layer that stay.

    Attributes:
        of: length of the axis before pruning.
        kept: indices that stay, strictly ascending, each in [0, of), at least one.
    """

    of: int
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCut:
    """What happens to one layer; None leaves that axis whole.

    Attributes:
        out: output channels of a convolution or linear layer, or the channels of a norm.
        inp: input channels of a convolution or linear layer ("in" in JSON); None for a norm.
    """

    out: Axis | None = None
    inp: Axis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStats:
    """The settings a plan was made with, and what it saves; MACs are of one pass, batch 1.

    Attributes:
        macs_ratio: asked for, or reached where something else was asked for.
        target: what was asked for, "params" or "latency"; None for MACs.
        allocation: how losses were compared between layers; None for equal shares.
        resampled: names of channel groups whose weights are resampled before they are cut.
        predicted_loss: mean square change of the output on calibration samples, untrained.
        latency_ratio: after / before as measured on ONNX Runtime, for a latency target.
        latency_noise: how far apart the ratios of every other timed round were, relative.
    """

    importance: str
    seed: int
    round_to: int
    macs_ratio: float
    macs_before: int
    macs_after: int
    parameters_before: int
    parameters_after: int
    target: str | None = None
    allocation: str | None = None
    resampled: tuple[str, ...] | None = None
    predicted_loss: float | None = None
    latency_ratio: float | None = None
    latency_noise: float | None = None

    def __post_init__(self) -> None:
        kinds = {"int": int, "float": float, "str": str, "tuple[str, ...]": tuple}
        for entry in fields(self):
            kind = kinds[str(entry.type).removesuffix(" | None")]
            value = getattr(self, entry.name)
            if value is None and str(entry.type).endswith(" | None"):
                continue
            if isinstance(value, bool) or not isinstance(value, kind):
                raise BadPlan(
                    f"stats.{entry.name}", f"expected {kind.__name__}, found {type(value).__name__}"
                )

    def to_json(self) -> dict[str, Any]:
        """Give the fields that are not None, as JSON-ready data."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: object) -> PlanStats:
        """Read what `to_json` wrote.

        Raises:
            BadPlan: a key is missing or unknown, or a value has the wrong type.
        """
        found = dict(mapping("stats", data))
        optional = {entry.name: None for entry in fields(cls) if entry.default is None}
        object_of("stats", {**optional, **found}, tuple(entry.name for entry in fields(cls)))
        if isinstance(names := found.get("resampled"), list):
            found["resampled"] = tuple(names)
        return cls(**found)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningPlan:
    """Everything needed to turn an original U-Net into its pruned form, without weights.

    Depth comes first: `layers`, `heads` and `groups` speak of what is left when `dropped` is gone.

    Attributes:
        layers: module name -> the kept indices of its axes.
        heads: name of an attention module -> the heads that stay (ascending). Its projections'
            kept indices are exactly these heads' channels.
        groups: name of a GroupNorm -> its number of groups afterwards; absent means unchanged.
        dropped: name of a module that goes whole -> what stays in its place.
        stats: where the plan came from; None for a plan written by hand.

    Raises:
        BadPlan: an axis is emptied, its indices are not ascending or out of range, or something
            inside a dropped module is cut or dropped once more.
    """

    layers: Mapping[str, LayerCut]
    heads: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, DropKind] = field(default_factory=dict)
    stats: PlanStats | None = None
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        _check_schema(self.schema)
        for name, cut in self.layers.items():
            if cut.out is None and cut.inp is None:
                raise BadPlan(name, "names no axis; remove the entry")
            for label, axis in (("out", cut.out), ("in", cut.inp)):
                if axis is not None:
                    _check_indices(f"{name} ({label})", axis.kept, axis.of)
        for name, heads in self.heads.items():
            _check_indices(f"{name} (heads)", heads, None)
        for name, groups in self.groups.items():
            if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
                raise BadPlan(name, f"groups must be an integer of at least 1, found {groups!r}")
        if self.dropped and self.schema == WIDTH_ONLY:
            raise BadPlan("dropped", f"schema {WIDTH_ONLY} drops nothing; expected {SCHEMA}")
        for name, kind in self.dropped.items():
            if kind not in get_args(DropKind):
                expected = ", ".join(get_args(DropKind))
                raise BadPlan(name, f"is dropped as {kind!r}: expected one of {expected}")
        for name in (*self.layers, *self.heads, *self.groups):
            self._check_stays(name, (name, *_enclosing(name)))
        for name in self.dropped:
            self._check_stays(name, _enclosing(name))

    def _check_stays(self, name: str, places: Iterable[str]) -> None:
        for place in places:
            kind = self.dropped.get(place)
            if kind is not None and (kind, name) != ("shortcut", f"{place}.conv_shortcut"):
                raise BadPlan(name, f"goes with {place}, which is dropped; remove the entry")

    def to_json(self) -> dict[str, Any]:
        """Give the plan as JSON-ready data; `PruningPlan.from_json` gives back an equal plan."""
        data: dict[str, Any] = {
            "schema": self.schema,
            "layers": {
                name: {"out": _axis_to_json(cut.out), "in": _axis_to_json(cut.inp)}
                for name, cut in self.layers.items()
            },
            "heads": {name: list(heads) for name, heads in self.heads.items()},
            "groups": dict(self.groups),
            "stats": None if self.stats is None else self.stats.to_json(),
        }
        if self.schema != WIDTH_ONLY:
            data["dropped"] = dict(self.dropped)
        return data

    @classmethod
    def from_json(cls, data: object) -> PruningPlan:
        """Read what `to_json` wrote.

        Args:
            data: parsed JSON.

        Raises:
            BadPlan: a key is missing or unknown, a value has the wrong type, or the plan is
                invalid; the message names the layer.
        """
        schema = mapping("top level", data).get("schema")
        _check_schema(schema)
        keys = ["schema", "layers", "heads", "groups", "stats"]
        top = object_of("top level", data, (*keys, *(["dropped"] if schema != WIDTH_ONLY else [])))
        layers = {}
        for name, entry in mapping("layers", top["layers"]).items():
            axes = object_of(name, entry, ("out", "in"))
            layers[name] = LayerCut(
                out=_axis_from_json(f"{name} (out)", axes["out"]),
                inp=_axis_from_json(f"{name} (in)", axes["in"]),
            )
        stats = None if top["stats"] is None else PlanStats.from_json(top["stats"])
        return cls(
            schema=top["schema"],
            layers=layers,
            heads={
                name: integers(f"{name} (heads)", heads)
                for name, heads in mapping("heads", top["heads"]).items()
            },
            groups=mapping("groups", top["groups"]),
            dropped=mapping("dropped", top.get("dropped", {})),
            stats=stats,
        )


def _check_schema(schema: object) -> None:
    if type(schema) is not int or schema not in (WIDTH_ONLY, SCHEMA):
        raise BadPlan(
            "schema", f"expected at most {SCHEMA}, found {schema!r}; update edgeswap to read it"
        )


def _enclosing(name: str) -> Iterator[str]:
    """The names of the modules around a module, innermost first."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _check_indices(where: str, kept: tuple[int, ...], of: int | None) -> None:
    if not kept:
        raise BadPlan(where, "nothing would be left; keep at least one")
    if any(second <= first for first, second in pairwise(kept)):
        raise BadPlan(where, "kept indices must be strictly ascending")
    if of is None:
        if kept[0] < 0:
            raise BadPlan(where, "indices must not be negative")
    elif kept[0] < 0 or kept[-1] >= of:
        raise BadPlan(where, f"kept indices {kept[0]}..{kept[-1]} lie outside 0..{of - 1}")


def _axis_to_json(axis: Axis | None) -> dict[str, Any] | None:
    return None if axis is None else {"of": axis.of, "kept": to_runs(axis.kept)}


def _axis_from_json(where: str, data: object) -> Axis | None:
    if data is None:
        return None
    axis = object_of(where, data, ("of", "kept"))
    of = axis["of"]
    if type(of) is not int or not 0 < of <= MAX_WIDTH:
        raise BadPlan(where, f"'of' must be an integer in 1..{MAX_WIDTH}, found {of!r}")
    return Axis(of=of, kept=from_runs(where, axis["kept"], of))
