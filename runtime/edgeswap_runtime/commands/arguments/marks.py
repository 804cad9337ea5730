"""Options of the commands that write generated pictures and films: their marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from edgeswap_runtime.pictures.marks import MarkSettings


def add_marks(parser: argparse.ArgumentParser) -> None:
    """Add --consent, --certificate, --private-key, --no-credentials and --no-watermark."""
    group = parser.add_argument_group("marks")
    group.add_argument(
        "--consent",
        metavar="TEXT",
        help="who agreed, when and to what; goes into the signed content credentials (default: "
        "nothing is stated)",
    )
    group.add_argument(
        "--certificate",
        metavar="FILE",
        help="certificate chain to sign with, PEM, with --private-key (default: a certificate of "
        "this machine, which nobody vouches for)",
    )
    group.add_argument(
        "--private-key",
        metavar="FILE",
        help="private key of --certificate, PEM, without a password (default: this machine's)",
    )
    group.add_argument(
        "--no-credentials",
        action="store_true",
        help="write no content credentials, and log that (default: write them where the extra "
        "provenance is installed)",
    )
    group.add_argument(
        "--no-watermark",
        action="store_true",
        help="put no invisible watermark into swapped faces, and log that (default: put it)",
    )


def marks_from(options: argparse.Namespace) -> MarkSettings:
    """Read the options, and check them before any work is done.

    Raises:
        InvalidRequest: they contradict one another, need the extra, or name unusable files.
    """
    from edgeswap_runtime.pictures.marks import MarkSettings

    settings = MarkSettings(
        watermark=not options.no_watermark,
        credentials=not options.no_credentials,
        certificate=options.certificate,
        private_key=options.private_key,
        consent=options.consent,
    )
    settings.check()
    return settings
