"""The key files that the server needs at a start, made by `pki` where they are missing.

Apart from `pki` so that a start that finds them all loads no cryptography (a fifth of its time, 15 MiB).
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

LOOPBACK = ("127.0.0.1", "::1")


def server(directory: Path, address: str) -> tuple[Path, Path, Path]:
    """(authority's certificate, server's certificate, its key) for an address to listen on."""
    name = "apiserver" if address in LOOPBACK else f"apiserver-{address.replace(':', '_')}"
    files = (directory / "ca.crt", directory / f"{name}.crt", directory / f"{name}.key")
    if not all(file.exists() for file in files):
        from isthmus.engine.auth import pki

        pki.Authority(directory).server(name, {*LOOPBACK, address})
    return files


def signing_key(directory: Path) -> "ec.EllipticCurvePrivateKey":
    """The key that signs service account tokens."""
    from isthmus.engine.auth import pki

    return pki.signing_key(directory)
