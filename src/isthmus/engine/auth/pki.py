"""Keys and certificates of one embedded home: made once, kept in `pki/` with mode 0600. The only door to key material.

One authority signs the server's certificate and every component's client certificate (CN is the user, O its groups).
Service account tokens are signed with a key of their own. Elliptic curve keys: they are made in a millisecond.
"""

import datetime
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEARS_10 = datetime.timedelta(days=3650)
LOCAL_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


class Authority:
    """A certificate authority on disk. Opening it creates what is missing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.certificate_path = directory / "ca.crt"
        self._key_path = directory / "ca.key"
        if not self._key_path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _certificate(_name("isthmus-ca", ()), key.public_key(), None, key, authority=True)
            write_secret(self.certificate_path, _pem(certificate))
            write_secret(self._key_path, _key_pem(key))
        self._key = _load_key(self._key_path)
        self._certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())

    def server(self, name: str, addresses: Iterable[str]) -> tuple[Path, Path]:
        """(certificate, key) files of a TLS server for these addresses and the in-cluster names."""
        return self._issue(name, (), ExtendedKeyUsageOID.SERVER_AUTH, tuple(addresses))

    def client(self, file_name: str, user: str, groups: Iterable[str] = ()) -> tuple[Path, Path]:
        """(certificate, key) files by which a client proves that it is `user`, a member of `groups`."""
        return self._issue(file_name, tuple(groups), ExtendedKeyUsageOID.CLIENT_AUTH, (), user)

    def sign(self, request: x509.CertificateSigningRequest, lifetime: datetime.timedelta) -> bytes:
        """A client's certificate in PEM for the key and subject of a request that was checked and approved."""
        key = request.public_key()
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
            raise TypeError("only RSA, elliptic curve and Ed25519 keys are signed")
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        issuer = self._certificate.subject
        return _pem(_certificate(request.subject, key, issuer, self._key, usage=usage, lifetime=lifetime))

    def _issue(
        self, name: str, groups: tuple[str, ...], usage: x509.ObjectIdentifier, hosts: tuple[str, ...], user: str = ""
    ) -> tuple[Path, Path]:
        certificate_path, key_path = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        if not (certificate_path.exists() and key_path.exists()):
            key = ec.generate_private_key(ec.SECP256R1())
            subject = _name(user or name, groups)
            certificate = _certificate(
                subject, key.public_key(), self._certificate.subject, self._key, usage=usage, hosts=hosts
            )
            write_secret(key_path, _key_pem(key))
            write_secret(certificate_path, _pem(certificate))
        return certificate_path, key_path


def signing_key(directory: Path) -> ec.EllipticCurvePrivateKey:
    """The key that signs service account tokens."""
    path = directory / "service-account.key"
    if not path.exists():
        write_secret(path, _key_pem(ec.generate_private_key(ec.SECP256R1())))
    return _load_key(path)


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.rename(path)


def _name(user: str, groups: Iterable[str]) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, g) for g in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _certificate(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey,
    issuer: x509.Name | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    authority: bool = False,
    usage: x509.ObjectIdentifier | None = None,
    hosts: tuple[str, ...] = (),
    lifetime: datetime.timedelta = YEARS_10,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_key_usage(authority), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if hosts:
        names: list[x509.GeneralName] = [x509.DNSName(n) for n in LOCAL_NAMES]
        names += [x509.IPAddress(ipaddress.ip_address(h)) for h in hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds no elliptic curve key; remove it and it is made anew")
    return key
