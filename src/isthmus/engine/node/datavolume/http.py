"""A disk image from a web server: credentials, certificates, headers and checksum as CDI's http source has them.

A connection that breaks is taken up where it broke, if the server serves ranges of what has not changed meanwhile.
"""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from isthmus.engine.node.datavolume.errors import TransferError
from isthmus.engine.node.datavolume.progress import Progress
from isthmus.engine.node.disk import ingest

CHUNK = 1 << 20
ATTEMPTS = 5
CONNECT_SECONDS, READ_SECONDS = 30.0, 120.0
ALGORITHMS = ("md5", "sha1", "sha256", "sha512")  # CDI's


@dataclass(frozen=True, slots=True)
class Wanted:
    """One http source."""

    url: str
    credentials: Mapping[str, bytes]
    certificates: Mapping[str, bytes]
    headers: Sequence[str] = ()
    checksum: str = ""
    insecure: bool = False

    def auth(self) -> aiohttp.BasicAuth | None:
        """accessKeyId and secretKey are user and password."""
        user, password = (self.credentials.get(key, b"").decode().strip() for key in ("accessKeyId", "secretKey"))
        return aiohttp.BasicAuth(user, password) if user else None

    def tls(self) -> ssl.SSLContext | bool:
        """What the server is trusted by."""
        if self.insecure:
            return False
        if not self.certificates:
            return True
        context = ssl.create_default_context()
        for text in self.certificates.values():
            context.load_verify_locations(cadata=text.decode())
        return context

    def header_fields(self) -> dict[str, str]:
        """`extraHeaders`. Raises TransferError."""
        fields = {}
        for line in self.headers:
            name, colon, value = line.partition(":")
            if not colon:
                raise TransferError(f"extraHeaders: {line!r} is not of the form NAME: VALUE")
            fields[name.strip()] = value.strip()
        return fields


async def fill(wanted: Wanted, volume: Path, capacity: int, progress: Progress) -> None:
    """Fill a volume. Raises TransferError, ImageRefusedError, CommandError."""
    if urlsplit(wanted.url).scheme not in ("http", "https"):
        raise TransferError(f"{wanted.url}: the URL must begin with http:// or https://")
    digest = _find_digest(wanted.checksum)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    connector = aiohttp.TCPConnector(ssl=wanted.tls())
    # The file is wanted as it is: a server must not compress it once more, nor we undo that it is compressed.
    async with aiohttp.ClientSession(
        timeout=timeout, connector=connector, auto_decompress=False, headers={"Accept-Encoding": "identity"}
    ) as session:
        await ingest.store(_digested(_read(session, wanted, progress), digest), volume, capacity, progress)
    if digest and digest.hexdigest() != wanted.checksum.partition(":")[2].lower():
        ingest.part_of(volume).unlink()
        raise TransferError(f"{wanted.url}: its {digest.name} is {digest.hexdigest()}, not {wanted.checksum}")
    await ingest.put_in_place(volume, capacity)


def _find_digest(checksum: str) -> "hashlib._Hash | None":
    if not checksum:
        return None
    algorithm, _, value = checksum.partition(":")
    if algorithm not in ALGORITHMS or len(value) != 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise TransferError(f"checksum {checksum!r}: expected ALGORITHM:HEX with {', '.join(ALGORITHMS)}")
    return hashlib.new(algorithm, usedforsecurity=False)


async def _digested(body: AsyncIterator[bytes], digest: "hashlib._Hash | None") -> AsyncIterator[bytes]:
    async for chunk in body:
        if digest:
            digest.update(chunk)
        yield chunk


async def _read(session: aiohttp.ClientSession, wanted: Wanted, progress: Progress) -> AsyncIterator[bytes]:
    """The file's bytes. Raises TransferError."""
    offset, version, attempt = 0, "", 0
    while True:
        try:
            async with session.get(wanted.url, auth=wanted.auth(), headers=_headers(wanted, offset, version)) as answer:
                _check(answer, wanted.url, offset)
                version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
                progress.total = progress.total or (answer.content_length or 0)
                async for chunk in answer.content.iter_chunked(CHUNK):
                    offset += len(chunk)
                    attempt = 0
                    yield chunk
                return
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            attempt += 1
            if (offset and not version) or attempt >= ATTEMPTS:
                raise TransferError(f"{wanted.url}: {error or 'nothing came for too long'}") from error
            await asyncio.sleep(attempt)


def _headers(wanted: Wanted, offset: int, version: str) -> dict[str, str]:
    resuming = {"Range": f"bytes={offset}-", "If-Range": version} if offset else {}
    return wanted.header_fields() | resuming


def _check(answer: aiohttp.ClientResponse, url: str, offset: int) -> None:
    if answer.status == (206 if offset else 200):
        return
    if offset and answer.status == 200:
        raise TransferError(f"{url}: the connection broke after {offset} bytes, and the file cannot be taken up there")
    raise TransferError(f"{url}: the server answers {answer.status} {answer.reason}")
