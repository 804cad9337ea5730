"""Reading a pruning.json."""

from __future__ import annotations

import json
from pathlib import Path

from edgeswap_compress.prune._errors import BadPlan
from edgeswap_compress.prune._plan import PruningPlan


def read_plan(path: Path | str) -> PruningPlan:
    """Read a pruning.json.

    Raises:
        BadPlan: the file is missing, is not JSON, or is not a plan.
    """
    try:
        return PruningPlan.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise BadPlan(str(path), "there is no such file") from error
    except IsADirectoryError as error:
        raise BadPlan(str(path), "is a folder; name the pruning.json in it") from error
    except BadPlan:
        raise
    except (ValueError, RecursionError) as error:
        raise BadPlan(str(path), f"is not JSON: {error}") from error
