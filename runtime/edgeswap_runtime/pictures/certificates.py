"""Certificates that content credentials are signed with: the user's own, or one of this machine.

A certificate of this machine proves that nobody changed a picture after it was signed, and nothing
about who signed it: verifiers call it untrusted. It names no person; but pictures signed with it
can be told to come from one machine.

Source: C2PA technical specification 2.1, chapter 14.5 (certificate profile).
"""

from __future__ import annotations

import contextlib
import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.cache import config_folder
from edgeswap_runtime.errors import InvalidRequest, OutputExists
from edgeswap_runtime.files import new_folder, read_regular

if TYPE_CHECKING:
    from pathlib import Path

_CHAIN, _KEY = "chain.pem", "key.pem"
_MAX_BYTES = 1_000_000
_YEARS = 10
_ORGANIZATION = "edgeswap, local certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """What content credentials are signed with.

    Attributes:
        algorithm: as C2PA calls it: "es256", "es384", "es512", "ps256" or "ed25519".
        chain: certificates in PEM, the signer's first.
        key: private key in PEM, PKCS #8, not encrypted.
        is_local: made by edgeswap on this machine.
    """

    algorithm: str
    chain: str
    key: str
    is_local: bool

    def __repr__(self) -> str:
        """Leave the key out."""
        return f"SigningKey(algorithm={self.algorithm!r}, is_local={self.is_local})"


def local_key() -> SigningKey:
    """Read this machine's certificate; make one where there is none.

    It lies in `config_folder()`, its key readable by its owner alone, and is valid for ten years.
    """
    folder = config_folder() / "local-certificate"
    if not folder.is_dir():
        # Another process may make it at the same time: the first one counts.
        with contextlib.suppress(OutputExists), new_folder(folder) as made:
            chain, key = _make_chain()
            (made / _KEY).touch(mode=0o600)
            (made / _KEY).write_text(key)
            (made / _CHAIN).write_text(chain)
    chain, key = (_text(folder / name) for name in (_CHAIN, _KEY))
    return SigningKey(algorithm="es256", chain=chain, key=key, is_local=True)


def user_key(certificate: Path, private_key: Path) -> SigningKey:
    """Read a user's certificate chain and private key.

    Args:
        certificate: PEM, the signer's certificate first, then those that signed it.
        private_key: PEM, not encrypted: RSA, elliptic curve or Ed25519.

    Raises:
        InvalidRequest: a file is no such PEM, they do not belong together, or the certificate is
            not valid now.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    chain, text = _text(certificate), _text(private_key)
    try:
        first = x509.load_pem_x509_certificates(chain.encode())[0]
    except ValueError as error:
        raise InvalidRequest(f"{certificate} holds no certificate in PEM ({error})") from error
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(
            f"{private_key} holds no private key in PEM without a password ({error})"
        ) from error
    now = datetime.datetime.now(datetime.timezone.utc)
    if not first.not_valid_before_utc <= now <= first.not_valid_after_utc:
        raise InvalidRequest(
            f"{certificate} is valid from {first.not_valid_before_utc:%Y-%m-%d} to "
            f"{first.not_valid_after_utc:%Y-%m-%d}, not now"
        )
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    encoding = serialization.Encoding.DER
    public = key.public_key().public_bytes(encoding, form)
    if first.public_key().public_bytes(encoding, form) != public:
        raise InvalidRequest(f"{private_key} is not the key of {certificate}")
    plain = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return SigningKey(
        algorithm=_algorithm(key, private_key), chain=chain, key=plain, is_local=False
    )


def _algorithm(key: Any, path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey):
        found = {256: "es256", 384: "es384", 521: "es512"}.get(key.curve.key_size)
        if found is not None:
            return found
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise InvalidRequest(
        f"{path} is a {type(key).__name__}, expected RSA of 2048 bits or more, an elliptic curve "
        "P-256, P-384 or P-521, or Ed25519"
    )


def _make_chain() -> tuple[str, str]:
    """A root and a signer's certificate (PEM), and the signer's key; the root's key is dropped."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("root", root_key.public_key(), root_key, is_root=True)
    leaf = _certificate("signer", key.public_key(), root_key, is_root=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (leaf.public_bytes(pem) + root.public_bytes(pem)).decode(), private.decode()


def _certificate(name: str, public: Any, signing_key: Any, *, is_root: bool) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def called(common: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, f"edgeswap {common} of this machine"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION),
            ]
        )

    now = datetime.datetime.now(datetime.timezone.utc)
    usage = dict.fromkeys(
        (
            "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "crl_sign", "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called("root"))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(is_root, 0 if is_root else None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not is_root, key_cert_sign=is_root, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
            critical=False,
        )
    )
    if not is_root:
        # C2PA asks for a purpose; this one is among those that all verifiers take.
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purposes, critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def _text(path: Path) -> str:
    try:
        return read_regular(path, _MAX_BYTES).decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is no PEM file, it is not text") from error
