"""Stream a file, or the files of an OVF folder as an OVA, into the claim of an import that waits for it.

CDI's protocol: a token for the claim (UploadTokenRequest), then one POST to the upload proxy. An OVF folder is packed
on its way: descriptor and manifest first, as the standard has it, then the files that are beside them.
"""

import asyncio
import ipaddress
import json
import ssl
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import click

from isthmus.client import credentials, resources
from isthmus.client.api import Resource
from isthmus.client.rest import RestClient
from isthmus.machinery.errors import StatusError

Object = dict[str, Any]
TOKENS = Resource("upload.cdi.kubevirt.io", "v1beta1", "uploadtokenrequests")
READY = "cdi.kubevirt.io/storage.pod.ready"
CHUNK = 1 << 20
ORDER = {".ovf": 0, ".mf": 1, ".cert": 2}
READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Payload:
    """What is sent: `parts` are files, each with the tar header that goes before it (none for a file on its own)."""

    name: str
    size: int
    parts: tuple[tuple[bytes, Path, int], ...]
    tail: int = 0  # zero bytes at the end

    def chunks(self) -> Iterator[bytes]:
        """The bytes. Raises ClickException if a file is shorter than it was."""
        for header, path, size in self.parts:
            if header:
                yield header
            yield from _read(path, size)
            if header and size % tarfile.BLOCKSIZE:
                yield bytes(tarfile.BLOCKSIZE - size % tarfile.BLOCKSIZE)
        if self.tail:
            yield bytes(self.tail)


def _read(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left:
            data = file.read(min(CHUNK, left))
            if not data:
                raise click.ClickException(f"{path} became shorter while it was uploaded")
            left -= len(data)
            yield data


def find_payload(path: Path) -> Payload:
    """A file as it is; of an .ovf or its folder the whole package. Raises ClickException."""
    if path.is_dir():
        found = sorted(path.glob("*.ovf"))
        if len(found) != 1:
            raise click.ClickException(f"{path} has {len(found)} .ovf files: name the one to import")
        path = found[0]
    if path.suffix.lower() != ".ovf":
        return Payload(path.name, path.stat().st_size, ((b"", path, path.stat().st_size),))
    return _pack(path)


def _pack(descriptor: Path) -> Payload:
    """As a tar archive in the order of DSP0243, 5.3: the descriptor, what belongs to it, the rest."""
    stem = descriptor.stem
    beside = [
        p for p in sorted(descriptor.parent.iterdir()) if p.is_file() and p.suffix.lower() not in (".ovf", ".ova")
    ]
    beside = [p for p in beside if p.suffix not in (".mf", ".cert") or p.stem == stem]
    files = sorted([descriptor, *beside], key=lambda p: (ORDER.get(p.suffix, 3), p.name))
    parts = []
    for path in files:
        size = path.stat().st_size
        info = tarfile.TarInfo(path.name)
        info.size = size
        parts.append((info.tobuf(tarfile.GNU_FORMAT), path, size))
    length = sum(len(header) + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE for header, _, size in parts)
    return Payload(f"{stem}.ova", length + 2 * tarfile.BLOCKSIZE, tuple(parts), 2 * tarfile.BLOCKSIZE)


async def upload(
    client: RestClient, namespace: str, claim: str, payload: Payload, on_sent: Callable[[int], None]
) -> None:
    """Send it; `on_sent` is told how many bytes are away. Raises StatusError, ClickException."""
    await _wait_ready(client, namespace, claim)
    url = await _find_proxy(client)
    token = await client.create(
        TOKENS,
        {
            "apiVersion": "upload.cdi.kubevirt.io/v1beta1",
            "kind": "UploadTokenRequest",
            "metadata": {"name": claim, "namespace": namespace},
            "spec": {"pvcName": claim},
        },
        namespace,
    )
    headers = {
        "Authorization": f"Bearer {token['status']['token']}",
        "Content-Type": "application/octet-stream",
        "Content-Length": str(payload.size),
    }
    connector = aiohttp.TCPConnector(ssl=_trust(client))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        try:
            body = _body(payload, on_sent)
            async with session.post(f"{url}/v1beta1/upload", data=body, headers=headers) as answer:
                if answer.status >= 400:
                    raise click.ClickException(f"the upload was refused: {_words(await answer.text(), answer.status)}")
        except (aiohttp.ClientError, OSError) as error:
            raise click.ClickException(f"the upload to {url} broke: {error}") from error


async def _body(payload: Payload, on_sent: Callable[[int], None]) -> AsyncIterator[bytes]:
    sent = 0
    chunks = payload.chunks()
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk
        sent += len(chunk)
        on_sent(sent)


async def _wait_ready(client: RestClient, namespace: str, claim: str) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            while True:
                found = await client.get(resources.PVCS, claim, namespace)
                if (found["metadata"].get("annotations") or {}).get(READY) == "true":
                    return
                await asyncio.sleep(0.2)
    except TimeoutError as error:
        raise click.ClickException(
            f"persistentvolumeclaim {claim} does not take the upload: kubectl describe pvc {claim} -n {namespace}"
        ) from error


async def _find_proxy(client: RestClient) -> str:
    """CDI's upload proxy, unless it says that it is on its own machine: then the server that we talk to serves it."""
    server = client.transport.access.server
    try:
        config = await client.get(Resource("cdi.kubevirt.io", "v1beta1", "cdiconfigs", namespaced=False), "config")
    except StatusError as error:
        if error.code not in (403, 404):
            raise
        return server
    url = str((config.get("status") or {}).get("uploadProxyURL") or "")
    if not url or is_loopback(urlsplit(url).hostname or ""):
        return server
    return url if "://" in url else f"https://{url}"


def _trust(client: RestClient) -> ssl.SSLContext:
    """As for the server itself, but without a client certificate: the token speaks for us."""
    return credentials.tls_context(replace(client.transport.access, certificate=None, key=None))


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine, whoever looks."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _words(text: str, status: int) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:300] or str(status)
