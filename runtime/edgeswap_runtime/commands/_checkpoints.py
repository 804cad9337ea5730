"""Tell checkpoints from bundles, and hand checkpoints to the room that reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.bundle.manifest import FILE_NAME
from edgeswap_runtime.files import require_folder

if TYPE_CHECKING:
    from pathlib import Path

CHECKPOINT_COMMAND = "edgeswap_compress.checkpoint.inspect:command"
_CHECKPOINT_FILE = "swap.json"


def is_checkpoint(path: Path) -> bool:
    """Return True for a checkpoint folder, False for what may be a bundle.

    Raises:
        BadFolder: it is neither.
    """
    require_folder(
        path,
        what="bundle or checkpoint",
        holds=(FILE_NAME, _CHECKPOINT_FILE),
        make="edgeswap export (a bundle) or edgeswap train (a checkpoint)",
    )
    return not (path / FILE_NAME).is_file()
