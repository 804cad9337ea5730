"""Which marks a generated picture carries besides its metadata, which is always there."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.pictures.credentials import (
    ContentSigner,
    has_credentials_library,
    require_consent,
)

_log = logging.getLogger(__name__)


class WritesMarks(Protocol):
    """What `Swapper` has: a watermark and a signer, each of which may be None."""

    watermark: Any
    signer: ContentSigner | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkSettings:
    """The marks to write besides the metadata.

    Attributes:
        watermark: the invisible one, in the face.
        credentials: content credentials, where the extra `provenance` is installed.
        certificate: path of the user's certificate chain; None takes this machine's own.
        private_key: path of its key.
        consent: what the persons shown agreed to; it goes into the credentials.
    """

    watermark: bool = True
    credentials: bool = True
    certificate: str | None = None
    private_key: str | None = None
    consent: str | None = None

    def check(self) -> None:
        """Check the settings before any work is done; read certificate and key.

        Raises:
            InvalidRequest: they contradict one another, need the extra, or name unusable files.
        """
        require_consent(self.consent)
        if (self.certificate is None) != (self.private_key is None):
            raise InvalidRequest("--certificate and --private-key belong together: give both")
        wants = self.consent is not None or self.certificate is not None
        if wants and not self.credentials:
            raise InvalidRequest(
                "a consent and a certificate go into the content credentials: leave out "
                "--no-credentials"
            )
        if wants and not has_credentials_library():
            raise InvalidRequest(
                "content credentials need the 'provenance' extra: python -m pip install "
                "'edgeswap[provenance]'"
            )
        if self.certificate is not None:
            self.open_signer()

    def open_signer(self) -> ContentSigner | None:
        """Open what signs the pictures; None where they are not signed.

        Raises:
            InvalidRequest: the certificate or its key cannot be used.
        """
        if not self.credentials or not has_credentials_library():
            return None
        from edgeswap_runtime.pictures.certificates import local_key, user_key

        if self.certificate is None or self.private_key is None:
            return ContentSigner(local_key(), consent=self.consent)
        key = user_key(Path(self.certificate), Path(self.private_key))
        return ContentSigner(key, consent=self.consent)

    def apply(self, swapper: WritesMarks) -> None:
        """Make a swapper write these marks; log those that are turned off."""
        swapper.signer = self.open_signer()
        if not self.credentials:
            _log.warning("content credentials are turned off (--no-credentials)")
        if not self.watermark:
            _log.warning("the watermark is turned off (--no-watermark)")
            swapper.watermark = None


def marks_of(swapper: WritesMarks) -> list[str]:
    """Name the marks of the pictures that a swapper saves."""
    marks = ["metadata"]
    if swapper.watermark is not None:
        marks.append("watermark")
    if swapper.signer is not None:
        by = "a certificate of this machine" if swapper.signer.is_local else "your certificate"
        marks.append(f"credentials signed by {by}")
    return marks
