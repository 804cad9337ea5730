"""Compare the loaded graphs' inputs and outputs with the manifest, when a backend opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeswap_runtime.errors import BadBundle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.bundle.manifest import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One input or output of a graph, as the backend that loaded it sees it.

    Attributes:
        names: all names it answers to.
        dtype: numpy's name; another word where numpy has none.
        shape: sizes; None where one is free or not known.
    """

    names: frozenset[str]
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {'x'.join('?' if s is None else str(s) for s in self.shape)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All inputs and outputs of a graph."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def require_fit(bundle: Bundle, loaded: Mapping[str, Ports]) -> None:
    """Compare every loaded graph with the bundle's manifest.

    Args:
        bundle: whose graphs were loaded.
        loaded: graph name -> what the backend sees.

    Raises:
        BadBundle: a name, element type or size differs. A size that the graph leaves free fits
            any; one that the manifest calls free must be so in the graph's inputs.
    """
    for name, ports in loaded.items():
        graph = bundle.manifest.graphs[name]
        sides = (("takes", graph.inputs, ports.inputs), ("gives", graph.outputs, ports.outputs))
        for word, stated, found in sides:
            _require_names(bundle, f"{graph.file} {word}", stated, found)
            for tensor in stated:
                port = next(port for port in found if tensor.name in port.names)
                if not _fits(tensor, port, free=word == "takes"):
                    sizes = "x".join(map(str, tensor.shape))
                    raise BadBundle(
                        bundle.path,
                        f"{graph.file} {word} '{tensor.name}' as {port}, its manifest states "
                        f"{tensor.dtype} {sizes}; export it again",
                    )


def _require_names(
    bundle: Bundle, what: str, stated: Sequence[Tensor], found: Sequence[Port]
) -> None:
    wanted = {tensor.name for tensor in stated}
    if len(found) != len(wanted) or any(not port.names & wanted for port in found):
        raise BadBundle(
            bundle.path,
            f"{what} {_list(min(port.names) for port in found)}, its manifest states "
            f"{_list(wanted)}; export it again",
        )


def _fits(tensor: Tensor, port: Port, *, free: bool) -> bool:
    """Compare a tensor with a port; with `free`, a size stated as free must be free there."""
    return (
        tensor.dtype == port.dtype
        and len(tensor.shape) == len(port.shape)
        and all(
            b is None or a == b or (isinstance(a, str) and not free)
            for a, b in zip(tensor.shape, port.shape, strict=True)
        )
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
