"""Packages by URL: from servers with and without ranges, that break, redirect, ask for a password, or do not answer."""

import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.vmware import disks, make_ova, ovf

from isthmus.importer.sources import opening, web
from isthmus.importer.sources.errors import SourceError
from isthmus.importer.worker.progress import JsonLines
from isthmus.importer.worker.transfer import Assignment, Transfer


@dataclass
class Behaviour:
    """How the server misbehaves, and what it was asked."""

    ranges: bool = True
    break_after: int = 0  # bytes of a body, once per entry of `breaks`
    breaks: int = 0
    authorization: str = ""
    redirect_to: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class Server:
    url: str
    folder: Path
    behaviour: Behaviour


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder, behaviour = tmp_path / "www", Behaviour()
    folder.mkdir()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            authorization = self.headers.get("Authorization", "")
            behaviour.requests.append((self.path, wanted, authorization))
            path = folder / self.path.lstrip("/")
            if behaviour.redirect_to and self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", behaviour.redirect_to + self.path.removeprefix("/moved"))
                self.end_headers()
            elif behaviour.authorization and authorization != behaviour.authorization:
                self.send_error(401)
            elif not path.is_file():
                self.send_error(404)
            else:
                self.send(path.read_bytes(), wanted)

        def send(self, data: bytes, wanted: str) -> None:
            start, end = 0, len(data)
            if wanted and behaviour.ranges:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                start, end = int(first), min(int(last) + 1 if last else len(data), len(data))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            else:
                self.send_response(200)
            self.send_header("ETag", '"v1"')
            self.send_header("Content-Length", str(end - start))
            self.end_headers()
            body = data[start:end]
            if behaviour.breaks and len(body) > behaviour.break_after:
                behaviour.breaks -= 1
                body = body[: behaviour.break_after]
                self.close_connection = True
            self.wfile.write(body)

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield Server(f"http://127.0.0.1:{httpd.server_port}", folder, behaviour)
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def raw(server: Server, tmp_path: Path) -> Path:
    """A machine's disk; the server has the machine as m.ova, m.ovf and what belongs to it."""
    raw = disks.make(tmp_path / "disk.raw", size=(6 << 20) + 512)
    make_ova.make_folder(server.folder, ovf.Machine("m", ()), [raw])
    make_ova.pack(server.folder / "m.ova", [server.folder / name for name in make_ova.order(server.folder)])
    return raw


def transfer(url: str, folder: Path, disk: str = "vmdisk1") -> bytes:
    package = opening.open_package(url)
    folder.mkdir(exist_ok=True)
    try:
        Transfer(package, package.envelope.machine().disks, [Assignment(disk, "v", folder)], JsonLines()).run()
    finally:
        package.close()
    return (folder / "disk.img").read_bytes()


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("name", ["m.ova", "m.ovf", "m-disk1.vmdk"])
def test_every_form_is_read_with_and_without_ranges(server: Server, raw: Path, tmp_path: Path, name: str, ranges: bool):
    server.behaviour.ranges = ranges
    disk = "disk-1" if name.endswith(".vmdk") else "vmdisk1"
    assert transfer(f"{server.url}/{name}", tmp_path / "v", disk) == raw.read_bytes()


def test_a_broken_connection_is_taken_up_again_where_it_was(server: Server, raw: Path, tmp_path: Path):
    server.behaviour.breaks, server.behaviour.break_after = 2, 100_000
    assert transfer(f"{server.url}/m.ova", tmp_path / "v") == raw.read_bytes()


def test_a_broken_connection_without_ranges_is_the_end_and_leaves_nothing(server: Server, raw: Path, tmp_path: Path):
    server.behaviour.ranges = False
    server.behaviour.breaks, server.behaviour.break_after = 1, 100_000
    with pytest.raises(SourceError, match=r"at byte \d+: the download broke"):
        transfer(f"{server.url}/m.ova", tmp_path / "v")
    assert list((tmp_path / "v").iterdir()) == []


def test_a_password_in_the_url_is_sent_but_never_shown(server: Server, raw: Path, tmp_path: Path):
    server.behaviour.authorization = "Basic dXNlcjpwQHNz"
    url = server.url.replace("http://", "http://user:p%40ss@")
    assert transfer(f"{url}/m.ova", tmp_path / "v") == raw.read_bytes()
    with pytest.raises(SourceError, match="404") as caught:
        opening.open_package(f"{url}/missing.ova")
    assert "p%40ss" not in str(caught.value)
    assert "p@ss" not in str(caught.value)


def test_redirects_are_followed_without_giving_the_password_to_others(server: Server, raw: Path, tmp_path: Path):
    server.behaviour.redirect_to = server.url.replace("127.0.0.1", "localhost")
    url = server.url.replace("http://", "http://user:secret@")
    assert transfer(f"{url}/moved/m.ova", tmp_path / "v") == raw.read_bytes()
    sent = {path.startswith("/moved"): authorization for path, _, authorization in server.behaviour.requests}
    assert sent[True]
    assert not sent[False]


@pytest.mark.parametrize(
    ("first", "then", "sent"),
    [
        ("https://host/m.ova", "https://host/n.ova", True),
        ("https://host/m.ova", "http://host/m.ova", False),  # in the clear
        ("http://host/m.ova", "https://host/m.ova", True),
        ("https://host/m.ova", "https://host:8443/m.ova", False),
    ],
)
def test_a_redirect_does_not_carry_the_password_out_of_tls(first: str, then: str, sent: bool):
    assert web.may_have_credentials(urlsplit(then), urlsplit(first)) is sent


def test_a_redirect_to_a_file_is_not_followed(server: Server):
    server.behaviour.redirect_to = "file:///etc"
    with pytest.raises(SourceError, match="redirected to a file URL"):
        opening.open_package(f"{server.url}/moved/passwd")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:9/x.ova", "cannot be reached"),
        ("ftp://host/x.ova", "only http and https"),
        ("http:///x", "only http and https"),
        ("http://[::1/x", "no URL"),
    ],
)
def test_a_url_that_leads_nowhere_says_so(url: str, message: str):
    with pytest.raises(SourceError, match=message):
        opening.open_package(url)


def test_names_of_siblings_are_quoted():
    address = web.parse_address("https://host:8443/a/b/m.ovf?x=1")
    assert address.sibling("disk 1#.vmdk").shown == "https://host:8443/a/b/disk%201%23.vmdk?x=1"
