"""Find out from the roles alone which graphs run when.

A graph is on the side of the *source* or of the *target*; nothing knows a model by name.

| graphs | run |
|---|---|
| that take a crop or keypoints of the source | once for each photo; their outputs are averaged |
| that are fed by those, or by constants, alone | once for each source, after averaging |
| that take a crop or keypoints of the target, or what is made of it | once for each face |
| `denoise` | once for each row of the schedule |
| `decode` | at the end |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeswap_runtime.bundle.schema import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgeswap_runtime.bundle.manifest_parts import Graph
    from edgeswap_runtime.bundle.roles import Role

DETECTOR = "detector"
"""The graph that finds faces; it may be left out: the bundle then swaps aligned crops only."""
DENOISE, DECODE, ENCODE = "denoise", "decode", "encode"
REQUIRED = (ENCODE, DENOISE, DECODE)
"""Graphs that every bundle has."""

_AT_STEPS = {"timestep": (DENOISE,), "guidance": (DENOISE,), "sample": (DENOISE, DECODE)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """Which graphs run when, each group in the order in which they feed one another.

    Attributes:
        per_photo: once for each photo of the source; their outputs are averaged.
        per_source: once for each source.
        per_target: once for each face of the target, before the sampler.
        source_roles: crops and keypoints that `per_photo` takes, such as "crop:model/source".
        target_roles: the same of `per_target`, `denoise` and `decode`.
        identity: outputs of the source's side that the target's side takes, such as
            "output:identity/tokens".
    """

    per_photo: tuple[str, ...]
    per_source: tuple[str, ...]
    per_target: tuple[str, ...]
    source_roles: tuple[str, ...]
    target_roles: tuple[str, ...]
    identity: tuple[str, ...]

    def crops(self, part: str) -> tuple[str, ...]:
        """Names of the crops that are cut of "source" or "target", sorted."""
        roles = self.source_roles if part == "source" else self.target_roles
        return tuple(sorted({role.partition(":")[2].partition("/")[0] for role in roles}))


def find_run_order(graphs: Mapping[str, Graph]) -> RunOrder:
    """Order a bundle's graphs by their roles.

    Args:
        graphs: name -> graph; the detector is passed over.

    Raises:
        SchemaError: a graph is missing, a role has no producer or stands where it cannot be
            filled, graphs feed one another in a circle, or one takes source and target in a way
            that says no time for it to run.
    """
    missing = [name for name in REQUIRED if name not in graphs]
    if missing:
        raise SchemaError(f"graphs are {sorted(graphs)}, expected {', '.join(REQUIRED)} among them")
    roles = {
        name: [tensor.parsed_role for tensor in graph.inputs]
        for name, graph in graphs.items()
        if name != DETECTOR
    }
    _check_producers(roles, graphs)
    order = _sorted_by_need(roles)
    sides = _sides(order, roles)
    groups = {side: tuple(n for n in order if sides[n] == side) for side in set(sides.values())}
    target_side = (*groups.get("target", ()), DENOISE, DECODE)
    found = RunOrder(
        per_photo=groups.get("photo", ()),
        per_source=groups.get("source", ()),
        per_target=groups.get("target", ()),
        source_roles=_looks(groups.get("photo", ()), roles),
        target_roles=_looks(target_side, roles),
        identity=tuple(
            sorted(
                {
                    str(role)
                    for name in target_side
                    for role in roles[name]
                    if role.kind == "output" and sides[role.name] in ("photo", "source")
                }
            )
        ),
    )
    if not found.per_photo or not found.identity:
        raise SchemaError("no graph takes the source: expected an input of role crop:NAME/source")
    return found


def _looks(names: Iterable[str], roles: Mapping[str, list[Role]]) -> tuple[str, ...]:
    """The crops and keypoints that graphs take, sorted."""
    kinds = ("crop", "keypoints")
    return tuple(sorted({str(r) for name in names for r in roles[name] if r.kind in kinds}))


def _check_producers(roles: Mapping[str, list[Role]], graphs: Mapping[str, Graph]) -> None:
    """Raise SchemaError unless each role can be filled where it stands."""
    for name, taken in roles.items():
        for role in taken:
            allowed = _AT_STEPS.get(role.kind, (name,))
            if name not in allowed or role.kind == "picture":
                where = ", ".join(allowed) if role.kind != "picture" else DETECTOR
                raise SchemaError(f"graphs.{name} takes role '{role}', which only {where} can")
            if role.kind != "output":
                continue
            given = graphs.get(role.name)
            if given is None or role.name in (DENOISE, DECODE, DETECTOR):
                raise SchemaError(
                    f"graphs.{name} takes '{role}', expected the output of another graph, "
                    f"one of {sorted(set(roles) - {name, DENOISE, DECODE})}"
                )
            if role.part not in {tensor.name for tensor in given.outputs}:
                raise SchemaError(
                    f"graphs.{name} takes '{role}', but {role.name} gives "
                    f"{sorted(tensor.name for tensor in given.outputs)}"
                )


def _sorted_by_need(roles: Mapping[str, list[Role]]) -> list[str]:
    """Sort graphs so that each comes after those that feed it; by name where it does not matter."""
    waiting = {name: {r.name for r in taken if r.kind == "output"} for name, taken in roles.items()}
    order: list[str] = []
    while waiting:
        ready = sorted(name for name, needs in waiting.items() if not needs & set(waiting))
        if not ready:
            raise SchemaError(f"graphs {sorted(waiting)} feed one another in a circle")
        order += ready
        for name in ready:
            del waiting[name]
    return order


def _sides(order: list[str], roles: Mapping[str, list[Role]]) -> dict[str, str]:
    """Name of a graph -> "photo", "source", "target" or "step"."""
    sides: dict[str, str] = {}
    for name in order:
        if name in (DENOISE, DECODE):
            sides[name] = "step"
            _refuse_source(name, roles[name])
            continue
        parts = {role.part for role in roles[name] if role.kind in ("crop", "keypoints")}
        fed = {role.name: sides[role.name] for role in roles[name] if role.kind == "output"}
        if "target" in parts or "target" in fed.values():
            _refuse_source(name, roles[name])
            sides[name] = "target"
        elif "source" in parts:
            late = sorted(graph for graph, side in fed.items() if side == "source")
            if late:
                raise SchemaError(
                    f"graphs.{name} takes a crop of each source photo and the output of {late[0]}, "
                    "which runs once for all photos: expected one or the other"
                )
            sides[name] = "photo"
        else:
            sides[name] = "source"
    if sides[ENCODE] != "target":
        raise SchemaError(
            f"graphs.{ENCODE} does not take the target: expected an input of role crop:NAME/target"
        )
    return sides


def _refuse_source(name: str, roles: list[Role]) -> None:
    """Raise SchemaError where a graph of the target's side takes a crop of the source."""
    for role in roles:
        if role.kind in ("crop", "keypoints") and role.part == "source":
            raise SchemaError(
                f"graphs.{name} takes '{role}' on the target's side: expected a graph of its own "
                "for the source, whose output this one takes"
            )
