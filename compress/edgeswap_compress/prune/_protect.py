"""Find the layers that a plan must leave as they are, by patterns of names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from torch import nn

from edgeswap_compress._pruning_errors import PruningError


def protected_layers(unet: nn.Module, patterns: Iterable[str]) -> frozenset[str]:
    """Find the modules that patterns name, with everything inside them.

    A protected layer is neither cut, on either axis, nor dropped: its weights stay bit for bit.

    Args:
        unet: in its original shape.
        patterns: module names as in `unet.named_modules()`, with the wildcards of `fnmatch`:
            "mid_block", "*.attn2", "up_blocks.3.resnets.*.conv2".

    Raises:
        PruningError: a pattern names no module.
    """
    names = [name for name, _ in unet.named_modules() if name]
    found: set[str] = set()
    for pattern in patterns:
        roots = {name for name in names if fnmatchcase(name, pattern)}
        if not roots:
            raise PruningError(
                f"the pattern '{pattern}' protects nothing: expected a module's name such as "
                f"'{names[-1]}', or wildcards such as 'up_blocks.*.attn2'"
            )
        found |= {name for name in names if roots.intersection(_path(name))}
    return frozenset(found)


def _path(name: str) -> Iterator[str]:
    """A module's name and those of the modules around it."""
    yield name
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
