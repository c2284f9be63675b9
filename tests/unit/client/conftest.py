"""A real HTTPS server on loopback that a test fills with handlers, and a client that trusts it."""

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from isthmus.client import kubeconfig
from isthmus.client.connect import open_client
from isthmus.client.rest import RestClient

USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


@dataclass
class Identity:
    certificate: bytes
    key: bytes


def _issue(common_name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer[0].subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        # Python 3.13 verifies by RFC 5280 to the letter: a certificate names its issuer's key, an authority its usage.
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key()), critical=False
        )
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
    else:
        usage = dict.fromkeys(USAGES, False) | {"key_cert_sign": True, "digital_signature": True}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Identity:
    return Identity(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


@dataclass
class Authority:
    ca: bytes
    server: Identity
    client: Identity


@pytest.fixture(scope="session")
def authority() -> Authority:
    root = _issue("test authority")
    return Authority(_pem(*root).certificate, _pem(*_issue("server", root)), _pem(*_issue("system:admin", root)))


@dataclass
class Peer:
    """`routes["GET /path"] = handler`; every request is noted as (method, path, query)."""

    port: int = 0
    routes: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query)))
        handler = self.routes.get(f"{request.method} {request.path}")
        if handler is None:
            return status(404, "NotFound", "the server could not find the requested resource")
        return await handler(request)


def status(code: int, reason: str, message: str, **headers: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
    return web.json_response(
        body | {"code": code}, status=code, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


@pytest.fixture(name="status")
def status_fixture():
    return status


@pytest.fixture
async def peer(authority: Authority, tmp_path: Path) -> AsyncIterator[Peer]:
    files = {}
    for name, data in {"ca": authority.ca, "crt": authority.server.certificate, "key": authority.server.key}.items():
        files[name] = tmp_path / f"server.{name}"
        files[name].write_bytes(data)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files["ca"]))
    context.load_cert_chain(files["crt"], files["key"])
    context.verify_mode = ssl.CERT_OPTIONAL
    peer = Peer()
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", peer.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    peer.port = runner.addresses[0][1]
    yield peer
    await runner.cleanup()


@pytest.fixture
def access(authority: Authority, peer: Peer) -> kubeconfig.Access:
    return kubeconfig.Access(
        server=f"https://127.0.0.1:{peer.port}",
        ca=authority.ca,
        certificate=authority.client.certificate,
        key=authority.client.key,
    )


@pytest.fixture
async def client(access: kubeconfig.Access, tmp_path: Path) -> AsyncIterator[RestClient]:
    path = tmp_path / "kubeconfig"
    kubeconfig.write(path, access)
    client = open_client(path, "tester/1.0")
    yield client
    await client.close()
