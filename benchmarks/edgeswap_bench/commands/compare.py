"""`edgeswap bench compare`: what has become slower between two stored reports?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `edgeswap bench compare`."""
    made = argparse.ArgumentParser(
        prog="edgeswap bench compare",
        description="Compare two stored reports, figure by figure: how many times as long the "
        "second takes. Exit code 3 when --fail-above or --require-settled is not met.",
    )
    made.add_argument(
        "first", type=Path, metavar="FIRST", help="a report, from edgeswap bench --json > FILE"
    )
    made.add_argument("second", type=Path, metavar="SECOND", help="the report to compare with it")
    made.add_argument(
        "--fail-above",
        metavar="PERCENT",
        help="exit with 3 where a whole task became slower by more, such as 5%%, and the "
        "interval of the ratio lies above 1 (default: never)",
    )
    made.add_argument(
        "--require-settled", action="store_true", help="exit with 3 where a figure is not settled"
    )
    made.add_argument("--json", action="store_true", help="print one JSON object, unrounded")
    return made


def command(argv: list[str]) -> int:
    """Compare two stored reports.

    Returns:
        0 fine, 3 a condition (--fail-above, --require-settled) is not met.
    """
    options = build_parser().parse_args(argv)
    from edgeswap_bench.compare.reports import compare_reports, parse_percent
    from edgeswap_bench.measure.load import read_report
    from edgeswap_bench.report.table import comparison_table
    from edgeswap_bench.trust.verdict import UNMET

    limit = None if options.fail_above is None else parse_percent(options.fail_above)
    found = compare_reports(read_report(options.first), read_report(options.second), limit)
    print(json.dumps(found.to_json()) if options.json else comparison_table(found))
    unsettled = options.require_settled and found.unsettled
    return UNMET if found.slower or unsettled else 0
