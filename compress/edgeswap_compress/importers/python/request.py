"""What an import with somebody's own conditioning module is asked for."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from edgeswap_compress._checks import check_out
from edgeswap_compress.checkpoint.swap_parts import ROLES, InputGroup
from edgeswap_compress.importers.base.settings import ImportSettings
from edgeswap_compress.importers.errors import ImportRefused, PartMissing

FILE_NAMES = ("base", "files")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRequest:
    """An import of a U-Net and the name of what computes its condition.

    Attributes:
        base: diffusers pipeline folder, or one file.
        entry: an installed entry point of `edgeswap.conditioners`: a function from a folder to a
            `Conditioner`.
        files: folder that is handed to it, and copied into the checkpoint.
        inputs: groups of channels at the U-Net's input, in order.
        settings: of every import.
        heads: attention heads of a single file's U-Net, see `read_ldm_unet`.
    """

    base: Path
    entry: str
    files: Path
    inputs: tuple[InputGroup, ...]
    settings: ImportSettings
    heads: int | None = None

    @property
    def named_files(self) -> dict[str, Path]:
        """Name every file whose license has to be stated."""
        return {"base": self.base, "files": self.files}


def parse_inputs(text: str, channels: int = 4) -> tuple[InputGroup, ...]:
    """Read "noise,mask=repaint,masked_target".

    Args:
        text: roles in order; a mask says after = what its ones mean.
        channels: of the latents.

    Raises:
        ImportRefused: a role is unknown, or a mask does not say what it means.
    """
    groups = []
    for part in text.split(","):
        role, equals, one_is = part.strip().partition("=")
        if role not in ROLES or (role == "mask") != bool(equals):
            raise ImportRefused(
                f"--inputs {text}: expected roles among {', '.join(ROLES)}, a mask as mask=repaint "
                f"or mask=keep, found {part.strip() or 'nothing'}"
            )
        mask = role == "mask"
        groups.append(
            InputGroup(role=role, channels=1 if mask else channels, one_is=one_is or None)
        )
    return tuple(groups)


def check_plugin(request: PluginRequest, out: Path) -> None:
    """Refuse what can be seen without reading weights.

    Raises:
        PartMissing: no such entry point, no such folder, or a license is missing.
        OutputExists, InvalidSettings: the output cannot be written.
    """
    from edgeswap_compress.conditioning.plugins import GROUP  # which imports torch

    check_out(out)
    request.settings.licenses.check(request.named_files)
    if not request.files.is_dir():
        raise PartMissing(f"--files {request.files}: expected a folder, found none")
    names = sorted(point.name for point in importlib.metadata.entry_points(group=GROUP))
    if request.entry not in names:
        raise PartMissing(
            f"--entry {request.entry}: expected an installed entry point of {GROUP}, found "
            f"{', '.join(names) or 'none'}; install the package that has it"
        )
