"""Content credentials: what is signed comes back, and what was changed afterwards is seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.pictures.mark import Mark, read_mark
from edgeswap_runtime.pictures.write import write_picture

c2pa = pytest.importorskip("c2pa")

from edgeswap_runtime.pictures.certificates import local_key, user_key  # noqa: E402
from edgeswap_runtime.pictures.credentials import MAX_CONSENT, ContentSigner  # noqa: E402
from edgeswap_runtime.pictures.found_credentials import read_credentials  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = Mark(software="edgeswap 0", bundle_sha256="ab" * 32)


@pytest.fixture
def signed(tmp_path: Path, photo: Any) -> Callable[[str], Path]:
    """Writes a signed picture by its suffix."""

    def make(suffix: str, consent: str | None = None) -> Path:
        path = tmp_path / f"signed{suffix}"
        signer = ContentSigner(local_key(), consent=consent)
        write_picture(path, photo(1), MARK, signer=signer, overwrite=True)
        return path

    return make


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_what_is_signed_comes_back(signed: Any, suffix: str, photo: Any) -> None:
    path = signed(suffix, "A. B., 2026-01-01, tests")
    found = read_credentials(path)
    assert found is not None
    assert (found.state, found.problems) == ("valid", ())
    assert (found.software, found.bundle_sha256) == ("edgeswap 0", "ab" * 32)
    assert found.consent == "A. B., 2026-01-01, tests"
    assert found.source_type == MARK.digital_source_type
    assert read_mark(path) == MARK
    if suffix != ".jpg":
        assert (np.asarray(Image.open(path)) == photo(1)).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_changed_byte_is_seen(signed: Any, suffix: str) -> None:
    path = signed(suffix)
    raw = bytearray(path.read_bytes())
    place = raw.index(b"compositeWith", raw.index(b"xpacket"))
    raw[place] ^= 32
    path.write_bytes(raw)
    found = read_credentials(path)
    assert found is not None and found.state == "invalid"
    assert "assertion.dataHash.mismatch" in found.problems


def test_credentials_moved_to_another_picture_are_seen(
    signed: Any, tmp_path: Path, photo: Any
) -> None:
    """The signed chunk of one PNG, put into another one of the same length."""
    path = signed(".png")
    raw = path.read_bytes()
    start = raw.index(b"caBX") - 4
    end = start + 12 + int.from_bytes(raw[start : start + 4], "big")
    other = tmp_path / "other.png"
    write_picture(other, photo(2), MARK)
    plain = other.read_bytes()
    other.write_bytes(plain[:33] + raw[start:end] + plain[33:])
    found = read_credentials(other)
    assert found is not None and found.state == "invalid"


def test_files_without(tmp_path: Path, photo: Any) -> None:
    path = tmp_path / "plain.png"
    write_picture(path, photo(1), MARK)
    assert read_credentials(path) is None
    text = tmp_path / "a.txt"
    text.write_text("no picture")
    assert read_credentials(text) is None


@pytest.mark.parametrize("signer", [None, "local"])
def test_a_damaged_film_was_changed_only_if_it_was_signed(
    tmp_path: Path, photo: Any, signer: str | None
) -> None:
    path = film_of(tmp_path / "film.mp4", photo)
    if signer:
        ContentSigner(local_key()).sign_file(path, MARK)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"mdat") - 4 : raw.index(b"mdat")] = b"\x7f\xff\xff\xff"  # longer than the file
    path.write_bytes(raw)
    found = read_credentials(path)
    assert (found is None) if signer is None else (found is not None and found.state == "invalid")


def film_of(path: Path, photo: Any) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=5)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for seed in range(3):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(photo(seed))))
        film.mux(stream.encode(None))
    return path


def test_a_film(tmp_path: Path, photo: Any) -> None:
    av = pytest.importorskip("av")
    path = film_of(tmp_path / "film.mp4", photo)
    ContentSigner(local_key()).sign_file(path, MARK)
    found = read_credentials(path)
    assert found is not None and found.state == "valid"
    with av.open(str(path)) as film:
        assert len(list(film.decode(video=0))) == 3
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"mdat") + 40] ^= 1
    path.write_bytes(raw)
    found = read_credentials(path)
    assert found is not None and found.state == "invalid"
    with pytest.raises(InvalidRequest, match="cannot be signed"):
        ContentSigner(local_key()).sign_file(path.rename(tmp_path / "film.mkv"), MARK)


def test_consent_has_bounds() -> None:
    for text in ("", "  ", "x" * (MAX_CONSENT + 1)):
        with pytest.raises(InvalidRequest, match="expected who agreed"):
            ContentSigner(local_key(), consent=text)


def test_this_machine_s_certificate_stays(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGESWAP_CONFIG", str(tmp_path / "config"))
    first = local_key()
    assert local_key() == first and first.is_local
    assert "PRIVATE" not in repr(first)
    key = tmp_path / "config" / "local-certificate" / "key.pem"
    assert key.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("EDGESWAP_CONFIG", str(tmp_path / "other"))
    assert local_key().chain != first.chain


@pytest.fixture
def files(tmp_path: Path, monkeypatch: Any) -> tuple[Path, Path]:
    """A chain and its key, as a user may have them."""
    monkeypatch.setenv("EDGESWAP_CONFIG", str(tmp_path / "config"))
    made = local_key()
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text(made.chain)
    key.write_text(made.key)
    return chain, key


def test_a_user_s_certificate(files: tuple[Path, Path], photo: Any, tmp_path: Path) -> None:
    found = user_key(*files)
    assert (found.algorithm, found.is_local) == ("es256", False)
    path = tmp_path / "a.png"
    write_picture(path, photo(1), MARK, signer=ContentSigner(found))
    credentials = read_credentials(path)
    assert credentials is not None and credentials.state == "valid"


def test_certificates_that_are_refused(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    chain, key = files
    monkeypatch.setenv("EDGESWAP_CONFIG", str(tmp_path / "another"))
    other = tmp_path / "other.pem"
    other.write_text(local_key().key)
    with pytest.raises(InvalidRequest, match="is not the key of"):
        user_key(chain, other)
    with pytest.raises(InvalidRequest, match="holds no certificate"):
        user_key(key, key)
    with pytest.raises(InvalidRequest, match="holds no private key"):
        user_key(chain, chain)
    picture = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(picture)
    with pytest.raises(InvalidRequest, match="not text"):
        user_key(picture, key)


def test_a_certificate_outside_of_the_profile(tmp_path: Path) -> None:
    """Signed by itself, without a purpose: C2PA does not take it, which is told at once."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    chain, private = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(InvalidRequest, match="C2PA does not take this certificate"):
        ContentSigner(user_key(chain, private))
