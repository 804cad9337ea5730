"""Read a pruning plan from its file."""

from __future__ import annotations

from pathlib import Path

from edgeswap_compress._pruning_errors import BadPlan
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_runtime.strict_json import JsonError, read_json


def read_plan(path: Path | str) -> PruningPlan:
    """Read a pruning plan from its file, a pruning.json.

    Raises:
        BadPlan: the file is missing, is not JSON, or is not a plan.
    """
    try:
        return PruningPlan.from_json(read_json(Path(path)))
    except FileNotFoundError as error:
        raise BadPlan(str(path), "there is no such file") from error
    except IsADirectoryError as error:
        raise BadPlan(str(path), "is a folder; name the pruning.json in it") from error
    except JsonError as error:
        raise BadPlan(str(path), f"is not JSON: {error}") from error
