"""Sign content credentials: statements of how a picture or film was made, after C2PA.

Signing and reading (`found_credentials`) are c2pa-python's (the extra `provenance`). What is
signed: IPTC's source type, this program, the bundle's hash, and the consent that the user states.

Source: C2PA technical specification 2.1, chapters 10 (claims) and 18 (actions).
"""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.files import new_file

if TYPE_CHECKING:
    from pathlib import Path

    from edgeswap_runtime.pictures.certificates import SigningKey
    from edgeswap_runtime.pictures.mark import Mark

SWAP_LABEL = "org.edgeswap.swap"
"""Label of the assertion with the bundle's hash and the consent."""
SIGNABLE = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
}
"""Suffix -> media type of the files that can be signed."""
MAX_CONSENT = 2000
"""Most characters of a consent text."""
_MEDIA = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def has_credentials_library() -> bool:
    """Return whether c2pa-python is installed; it is not loaded."""
    return importlib.util.find_spec("c2pa") is not None


class ContentSigner:
    """Signs pictures and films.

    Args:
        key: what to sign with.
        consent: what the persons shown agreed to, when and with whom, in the user's words.

    Raises:
        InvalidRequest: the certificate does not meet C2PA's profile, or the consent is too long.
        ModuleNotFoundError: c2pa-python is not installed.
    """

    def __init__(self, key: SigningKey, *, consent: str | None = None) -> None:
        import c2pa

        self.is_local = key.is_local
        self._c2pa = c2pa
        self._key = key
        self._consent = require_consent(consent)
        if not key.is_local:
            self._try_out()

    def sign(self, data: bytes, file_format: str, mark: Mark) -> bytes:
        """Return a picture file with signed credentials.

        Args:
            data: the file's bytes.
            file_format: "PNG", "JPEG" or "WEBP".
            mark: what the credentials state.
        """
        out = io.BytesIO()
        with self._builder(mark) as builder, self._signer() as signer:
            builder.sign(signer, _MEDIA[file_format], io.BytesIO(data), out)
        return out.getvalue()

    def sign_file(self, path: Path, mark: Mark) -> None:
        """Sign a file in its place; it is replaced whole or not at all.

        Args:
            path: ends in one of `SIGNABLE`.
            mark: what the credentials state.

        Raises:
            InvalidRequest: such a file cannot be signed.
        """
        media = SIGNABLE.get(path.suffix.lower())
        if media is None:
            raise InvalidRequest(f"{path} cannot be signed: expected {', '.join(SIGNABLE)}")
        with (
            new_file(path) as temporary,
            path.open("rb") as source,
            temporary.open("w+b") as out,
            self._builder(mark) as builder,
            self._signer() as signer,
        ):
            builder.sign(signer, media, source, out)

    def _builder(self, mark: Mark) -> Any:
        # Thumbnails would double the time and say nothing.
        context = self._c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
        return self._c2pa.Builder(_claim(mark, self._consent), context)

    def _signer(self) -> Any:
        key = self._key
        return self._c2pa.Signer.from_info(
            self._c2pa.C2paSignerInfo(
                key.algorithm.encode(), key.chain.encode(), key.key.encode(), None
            )
        )

    def _try_out(self) -> None:
        """Sign a picture of one pixel: what C2PA asks of certificates shows only then."""
        from PIL import Image

        from edgeswap_runtime.pictures.mark import Mark

        pixel = io.BytesIO()
        Image.new("RGB", (1, 1)).save(pixel, "PNG")
        try:
            self.sign(pixel.getvalue(), "PNG", Mark(software="edgeswap"))
        except self._c2pa.C2paError as error:
            words = " ".join(str(error).split())[:300]
            raise InvalidRequest(
                f"C2PA does not take this certificate ({words}): expected a signer's certificate "
                "for documents or e-mail, its chain after it, and its key"
            ) from error


def require_consent(consent: str | None) -> str | None:
    """Return a consent text; raise InvalidRequest where it is empty or longer than 2000."""
    if consent is None:
        return None
    if not consent.strip() or len(consent) > MAX_CONSENT:
        raise InvalidRequest(
            f"the consent has {len(consent)} characters, expected who agreed, when and to what, in "
            f"1 to {MAX_CONSENT}"
        )
    return consent.strip()


def _claim(mark: Mark, consent: str | None) -> dict[str, Any]:
    name, _, version = mark.software.partition(" ")
    program = {"name": name, "version": version or "unknown"}
    stated = {"bundle_sha256": mark.bundle_sha256, "consent": consent}
    return {
        "claim_generator_info": [program],
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {
                    "actions": [
                        {
                            "action": "c2pa.created",
                            "digitalSourceType": mark.digital_source_type,
                            "softwareAgent": program,
                        }
                    ]
                },
            },
            {
                "label": SWAP_LABEL,
                "data": {key: value for key, value in stated.items() if value is not None},
            },
        ],
    }
