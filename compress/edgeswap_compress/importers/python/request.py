"""What an import with somebody's own conditioning module is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeswap_compress._checks import check_out
from edgeswap_compress.checkpoint.swap_parts import POLARITIES, ROLES
from edgeswap_compress.importers.base.settings import ImportSettings
from edgeswap_compress.importers.base.untold import Untold
from edgeswap_compress.importers.errors import ImportRefused, PartMissing

FILE_NAMES = ("base", "files")

Input = tuple[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRequest:
    """An import of a U-Net and the name of what computes its condition.

    Attributes:
        base: diffusers pipeline folder, or one file.
        entry: an installed entry point of `edgeswap.conditioners`, or a file of the environment
            variable EDGESWAP_CONDITIONERS: a function from a folder to a `Conditioner`.
        files: folder that is handed to it, and copied into the checkpoint.
        inputs: (role, what a mask's ones mean) of each group of channels at the U-Net's input.
        settings: of every import.
        untold: what a single file does not tell of its U-Net.
    """

    base: Path
    entry: str
    files: Path
    inputs: tuple[Input, ...]
    settings: ImportSettings
    untold: Untold = field(default_factory=Untold)

    @property
    def named_files(self) -> dict[str, Path]:
        """Name every file whose license has to be stated."""
        return {"base": self.base, "files": self.files}


def parse_inputs(text: str) -> tuple[Input, ...]:
    """Read "noise,mask=repaint,masked_target": roles in order, and what a mask's ones mean.

    Raises:
        ImportRefused: a role is unknown, or a mask does not say what it means.
    """
    groups = []
    for part in text.split(","):
        role, equals, one_is = part.strip().partition("=")
        if role not in ROLES or (one_is not in POLARITIES if role == "mask" else equals):
            raise ImportRefused(
                f"--inputs {text}: expected roles among {', '.join(ROLES)}, a mask as mask=repaint "
                f"or mask=keep, found {part.strip() or 'nothing'}"
            )
        groups.append((role, one_is or None))
    return tuple(groups)


def check_plugin(request: PluginRequest, out: Path) -> None:
    """Refuse what can be seen without reading weights.

    Raises:
        PartMissing: no such entry point, no such folder, or a license is missing.
        OutputExists, InvalidSettings: the output cannot be written.
    """
    from edgeswap_compress.conditioning.plugins import (  # which imports torch
        FILES,
        GROUP,
        known_plugins,
    )

    check_out(out)
    request.settings.licenses.check(request.named_files)
    if not request.files.is_dir():
        raise PartMissing(f"--files {request.files}: expected a folder, found none")
    names = sorted(known_plugins())
    if request.entry not in names:
        name = request.entry.rpartition("/")[2].removesuffix(".py")
        raise PartMissing(
            f"--entry {request.entry}: expected an installed entry point of {GROUP}, found "
            f"{', '.join(names) or 'none'}; install the package that has it, or, since every later "
            f"command needs it too, set {FILES}=PLACE/{name}.py and say --entry {name}"
        )
