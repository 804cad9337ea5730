"""A worker process of a batch: one line of JSON in, one out.

It is started by `edgeswap_runtime.batch.processes` as `python -m edgeswap_runtime.batch.worker`;
the first line is the settings, every other one a picture; it ends when its input does.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.backends.threads import let_waiting_threads_sleep
from edgeswap_runtime.errors import EdgeswapError, EdgeswapFailure

if TYPE_CHECKING:
    from typing import TextIO


def serve(lines: TextIO, answers: TextIO) -> int:
    """Swap what the lines name; return the exit code."""
    from edgeswap_runtime.batch.one import PictureSwapper
    from edgeswap_runtime.batch.settings import BatchSettings

    def answer(body: dict[str, Any]) -> None:
        answers.write(json.dumps(body) + "\n")
        answers.flush()

    settings = BatchSettings.from_json(json.loads(lines.readline()))
    try:
        swapper = PictureSwapper(settings)
    except (EdgeswapError, EdgeswapFailure, OSError) as error:
        answer({"refused": str(error)})
        return 2
    with swapper:
        answer({"ready": os.getpid()})
        for line in lines:
            job = json.loads(line)
            source = job.get("source")
            answer(
                swapper.swap(
                    Path(job["target"]), Path(job["out"]), Path(source) if source else None
                )
            )
    return 0


def main() -> int:
    """Serve on stdin and stdout; what libraries print goes to stderr."""
    let_waiting_threads_sleep()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        return serve(sys.stdin, answers)
    except (BrokenPipeError, KeyboardInterrupt):  # whoever started it has gone
        return 130


if __name__ == "__main__":
    sys.exit(main())
