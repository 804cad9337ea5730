"""Does any input end in a traceback, a hang, too much memory or a half-written file?

Sound inputs (a tiny bundle, checkpoint, plan, recipe, dataset, pictures in every format, films, and
the packaged student's bundle) are changed in one place, by hand-picked changes and by random ones,
and every option of every command is given bad values. Each goes through the command line in a
forked process of its own, as `edgeswap` would run it. Hashes that a file states of itself or of
others are made right again, so that a change reaches what is behind them.

A fault is: a traceback, an end by a signal, an exit code other than 0 and 2, more than 10 s of
processor time (40 s for commands that train, prune or export where the change is harmless), more
than 2 GB of memory, anything but one line said where the exit code is 2, anything left behind
then, and a result that is not sane where it is 0.

    python benchmarks/studies/fuzz.py --folder fuzz          # all crafted and 5000 random cases
    python benchmarks/studies/fuzz.py --folder fuzz --only manifest:17
    python benchmarks/studies/fuzz.py --folder fuzz --kinds picture,graph --count 500 --seed 1000
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing import kinds
from fuzzing.case import Case, faults, out_folder
from fuzzing.place import Place, fingerprint, make_packaged, make_place
from fuzzing.sandbox import Outcome, call, warm_up

QUICK = {"swap", "inspect", "verify", "bench", "triton", "engine", "data"}
"""Commands that take a fraction of a second, for --quick."""
QUICK_KINDS = {
    "crafted-manifest", "crafted-graph", "crafted-checkpoint", "crafted-plan", "crafted-dataset",
    "crafted-picture", "option", "manifest", "graph", "checkpoint", "plan", "dataset", "picture",
}  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What a kind's cases came to."""

    codes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    rss: int = 0


def main() -> int:
    """Run the cases, print the faults as they come and the table at the end."""
    arguments = parse()
    place = make_place(arguments.folder.resolve() / "sound", families=not arguments.quick)
    if not arguments.quick:
        make_packaged(place)
    before = fingerprint(place)
    warm_up()
    chosen = choose(arguments, place)
    print(f"{len(chosen)} cases, random seeds from {arguments.seed}", flush=True)
    tallies: dict[str, Tally] = defaultdict(Tally)
    log = (arguments.folder / "faults.jsonl").open("a", encoding="utf-8")
    with log:
        for number, (kind, seed) in enumerate(chosen):
            if number % 100 == 0:
                print(f"{number} of {len(chosen)}", file=sys.stderr, flush=True)
            case = make(kind, seed, place, arguments.folder.resolve() / "case")
            if arguments.quick and case.argv[0] not in QUICK:
                continue
            outcome = call(list(case.argv), arguments.folder.resolve() / "case", case.limits)
            found = faults(case, outcome, arguments.folder.resolve() / "case")
            count(tallies[kind], outcome, found)
            if found:
                print(f"{case.name}: {case.description[:100]}: {found[0]}", flush=True)
                told = {"case": case.name, "told": case.description[:200], "argv": case.argv[:4]}
                log.write(json.dumps({**told, "faults": found, "stderr": outcome.stderr[-1500:]}))
                log.write("\n")
                log.flush()
            if arguments.only:
                print(f"edgeswap {' '.join(case.argv)}\nexit {outcome.code}\n{outcome.stderr}")
    changed = [name for name, digest in fingerprint(place).items() if before.get(name) != digest]
    print(table(tallies))
    for name in changed:
        print(f"an input was changed: {name}")
    return 1 if changed or any(tally.faults for tally in tallies.values()) else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="sound inputs are kept here")
    parser.add_argument("--count", type=int, default=5000, help="random cases (5000)")
    parser.add_argument("--seed", type=int, default=0, help="the first of the random seeds (0)")
    parser.add_argument("--kinds", type=lambda text: text.split(","), help="these kinds only")
    parser.add_argument("--every", type=int, default=1, help="each N-th case of those (1)")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first N of those (0)")
    parser.add_argument("--quick", action="store_true", help="a few hundred of the fast ones")
    parser.add_argument("--only", metavar="KIND:SEED", help="one case; its folder is kept")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.count, arguments.every = 600, max(arguments.every, 6)
    return arguments


def choose(arguments: argparse.Namespace, place: Place) -> list[tuple[str, int]]:
    """The cases that were asked for: (kind, seed)."""
    if arguments.only:
        kind, _, seed = arguments.only.partition(":")
        return [(kind, int(seed))]
    found = kinds.crafted(place) + kinds.drawn(arguments.count, arguments.seed)
    if arguments.kinds or arguments.quick:
        found = [pair for pair in found if pair[0] in (arguments.kinds or QUICK_KINDS)]
    return found[arguments.skip :: arguments.every]


def make(kind: str, seed: int, place: Place, folder: Path) -> Case:
    """Make one case in a fresh folder."""
    shutil.rmtree(folder, ignore_errors=True)
    out_folder(folder).mkdir(parents=True)
    return kinds.maker(kind)(place, seed, folder)


def count(tally: Tally, outcome: Outcome, found: list[str]) -> None:
    """Add one case to its kind's tally."""
    tally.codes["stopped" if outcome.stopped else str(outcome.code)] += 1
    tally.faults.update({fault.partition(":")[0] for fault in found})
    tally.cpu_s = max(tally.cpu_s, outcome.cpu_s)
    tally.wall_s = max(tally.wall_s, outcome.wall_s)
    tally.rss = max(tally.rss, outcome.peak_rss_bytes)


def table(tallies: dict[str, Tally]) -> str:
    """One line a kind, and their sum."""
    title = f"{'kind':20} {'cases':>6} {'exit 2':>7} {'exit 0':>7} {'faults':>7}"
    lines = [f"{title} {'cpu s':>6} {'wall s':>7} {'GB':>5}  faults by kind"]
    total = Counter[str]()
    for kind, tally in tallies.items():
        cases, bad = sum(tally.codes.values()), sum(tally.faults.values())
        total.update(cases=cases, two=tally.codes["2"], zero=tally.codes["0"], faults=bad)
        lines.append(
            f"{kind:20} {cases:6} {tally.codes['2']:7} {tally.codes['0']:7} {bad:7} "
            f"{tally.cpu_s:6.1f} {tally.wall_s:7.1f} {tally.rss / 1e9:5.2f}  "
            + ", ".join(f"{name} {n}" for name, n in tally.faults.most_common())
        )
    lines.append(
        f"{'all':20} {total['cases']:6} {total['two']:7} {total['zero']:7} {total['faults']:7}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    begun = time.monotonic()
    status = main()
    print(f"{time.monotonic() - begun:.0f} s")
    sys.exit(status)
