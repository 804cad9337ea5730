"""Does one swapper, shared by several threads, always answer with the right person's face?

Several threads swap several people, in turn, into one portrait, with one `Swapper`; every answer is
compared, byte by byte, with the same swap done alone. Every tenth swap reads its identity anew,
which uses the same buffers. The people are the packaged portraits, mirrored where more are asked
for. How long it took says what waiting for one another costs.

    python benchmarks/studies/threads.py BUNDLE [--backend ort] [--swaps 1000] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeswap_runtime import Swapper, read_picture
from edgeswap_runtime.pictures.portraits import packaged_portraits

Pixels = NDArray[np.uint8]


def people(count: int) -> list[Pixels]:
    """So many pictures of different faces, from the packaged portraits and their mirror images."""
    portraits = [np.asarray(read_picture(path)) for path in packaged_portraits()]
    mirrored = [np.ascontiguousarray(picture[:, ::-1]) for picture in portraits]
    found = [*portraits, *mirrored]
    if not 2 <= count <= len(found):
        raise SystemExit(f"--people {count}: expected 2 to {len(found)}")
    return found[:count]


def study(args: argparse.Namespace) -> dict[str, Any]:
    """Swap alone, then in threads; count what differs."""
    sources = people(args.people)
    target = read_picture(packaged_portraits()[-1])
    with Swapper.open(args.bundle, backend=args.backend, threads=1) as swapper:
        identities = [swapper.identity(source) for source in sources]
        expected = [swapper.swap(target, identity) for identity in identities]
        if any((expected[0] == other).all() for other in expected[1:]):
            raise SystemExit("two people give the same picture: nothing would be noticed")

        def swap(number: int) -> bool:
            person = number % len(sources)
            identity = identities[person]
            if number % 10 == 0:
                identity = swapper.identity(sources[person])
            return bool((swapper.swap(target, identity) != expected[person]).any())

        alone_s, _ = timed(lambda: [swap(number) for number in range(args.swaps // 10)])
        with ThreadPoolExecutor(args.threads) as pool:
            spent_s, wrong = timed(lambda: list(pool.map(swap, range(args.swaps))))
    return {
        "backend": args.backend,
        "threads": args.threads,
        "people": args.people,
        "swaps": args.swaps,
        "wrong": sum(wrong),
        "swaps_per_s": args.swaps / spent_s,
        "swaps_per_s_alone": (args.swaps // 10) / alone_s,
    }


def timed(work: Callable[[], list[bool]]) -> tuple[float, list[bool]]:
    """Seconds and result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> int:
    """Run and print; 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, help="a bundle folder")
    parser.add_argument("--backend", default="ort", help="as for edgeswap swap (default ort)")
    parser.add_argument("--threads", type=int, default=8, help="that swap at once (default 8)")
    parser.add_argument("--people", type=int, default=5, help="different faces (default 5)")
    parser.add_argument("--swaps", type=int, default=1000, help="in all, from 10 (default 1000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if args.threads < 1 or args.swaps < 10:
        parser.error("expected at least 1 thread and 10 swaps")
    row = study(args)
    if args.json:
        print(json.dumps(row))
    else:
        print(
            f"{row['wrong']} of {row['swaps']} swaps wrong: {row['threads']} threads, "
            f"{row['people']} people, {row['backend']}; {row['swaps_per_s']:.0f} swaps a second, "
            f"{row['swaps_per_s_alone']:.0f} by one thread alone"
        )
    return 1 if row["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
