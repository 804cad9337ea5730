"""Read and check the content credentials that a picture or film carries."""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.pictures.credentials import SWAP_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCredentials:
    """The content credentials of a file.

    Attributes:
        state: "valid" (nothing changed since it was signed, by a signer nobody vouches for),
            "trusted" (by one that the library's settings trust), or "invalid".
        problems: C2PA's codes of what is wrong, such as "assertion.dataHash.mismatch".
        signer: the certificate's organization and name.
        software: what made the file.
        source_type: IPTC's term, if it is stated.
        bundle_sha256: of the bundle that made it, if edgeswap did.
        consent: as the user stated it.
    """

    state: str
    problems: tuple[str, ...]
    signer: str
    software: str
    source_type: str | None = None
    bundle_sha256: str | None = None
    consent: str | None = None


def read_credentials(path: Path) -> FoundCredentials | None:
    """Read and check a file's content credentials; None where it has none.

    Args:
        path: a picture or film.

    Raises:
        ModuleNotFoundError: c2pa-python is not installed.
    """
    import c2pa

    media = _media_of(path)
    if media is None:
        return None
    try:
        with path.open("rb") as file, c2pa.Reader(media, file) as reader:
            facts = json.loads(reader.json())
            state = reader.get_validation_state() or "Invalid"
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError as error:
        if not _mentions_credentials(path):  # damaged, and never signed
            return None
        words = " ".join(str(error).split())[:200]
        return FoundCredentials(state="invalid", problems=(words,), signer="", software="")
    found = facts.get("manifests", {}).get(facts.get("active_manifest"), {})
    return _found(found, facts, state)


def _found(found: dict[str, Any], facts: dict[str, Any], state: str) -> FoundCredentials:
    signature = found.get("signature_info") or {}
    program = (found.get("claim_generator_info") or [{}])[0]
    stated: dict[str, Any] = {}
    source_type = None
    for assertion in found.get("assertions") or []:
        if assertion.get("label") == SWAP_LABEL:
            stated = assertion.get("data") or {}
        for action in (assertion.get("data") or {}).get("actions") or []:
            source_type = source_type or action.get("digitalSourceType")
    return FoundCredentials(
        state=state.lower(),
        problems=tuple(_problems(facts)),
        signer=", ".join(
            str(signature[key]) for key in ("issuer", "common_name") if signature.get(key)
        ),
        software=" ".join(str(program[key]) for key in ("name", "version") if key in program),
        source_type=source_type,
        bundle_sha256=stated.get("bundle_sha256"),
        consent=stated.get("consent"),
    )


def _problems(facts: dict[str, Any]) -> Iterator[str]:
    """C2PA's codes of what failed, but for a signer that nobody vouches for."""
    for entry in facts.get("validation_status") or []:
        if entry.get("code") != "signingCredential.untrusted":
            yield str(entry.get("code"))


def _mentions_credentials(path: Path) -> bool:
    """Whether a file holds the label that begins every store of credentials, anywhere in it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"c2pa") >= 0


def _media_of(path: Path) -> str | None:
    """The media type by a file's first bytes: suffixes may be anything."""
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"\x89PNG"):
        return "image/png"
    if head.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"
    return None
