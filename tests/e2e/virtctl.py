"""What virtctl 1.9 sends, byte for byte where it matters: paths, bodies, headers, subprotocols.

virtctl itself cannot be had here. Written from its documented behaviour (client: kubecli's `VMInterface`,
`VMIInterface` and their subresource helpers); each command is one method, named as virtctl names it.
"""

import contextlib
import hashlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import contextmanager
from typing import Any

from tests.e2e.platform import ApiError, Platform
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

Object = dict[str, Any]
GROUP = "/apis/subresources.kubevirt.io/v1"
PROTOCOL = "plain.kubevirt.io"
BUFFER = 10 * 1024
PROMPT = r"login: $|[#] (\x1b\[6n)?$"  # busybox' shell asks the terminal where its cursor is
VM, VMI = "virtualmachines", "virtualmachineinstances"
UPLOAD_ASYNC, UPLOAD_SYNC = "/v1beta1/upload-async", "/v1beta1/upload"


class Console:
    """A serial console with what was read so far: `expect` as a person's eye, `send` as their keyboard."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.text = ""
        self._seen = 0

    def expect(self, pattern: str, seconds: float = 30) -> re.Match[str]:
        """Read on until `pattern` appears after the last match."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.text[self._seen :])):
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"{pattern!r} not within {seconds} s; the console ends: {self.text[-1500:]!r}")
            try:
                data = self.socket.recv(timeout=left)
            except TimeoutError:
                continue
            except ConnectionClosed as error:
                raise AssertionError(f"the console closed before {pattern!r}: {self.text[-1500:]!r}") from error
            assert isinstance(data, bytes), "KubeVirt's framing is binary messages"
            self.text += data.decode(errors="replace")
        self._seen += match.end()
        return match

    def send(self, text: str) -> None:
        self.socket.send(text.encode())

    def run(self, command: str, seconds: float = 30) -> str:
        """A shell command's output. The end mark is written so that its echo does not look like it."""
        mark = hashlib.sha256(f"{command}{time.monotonic()}".encode()).hexdigest()[:8]
        self.send(f"{command}; echo {mark[:4]}''{mark[4:]}=$?\n")
        match = self.expect(rf"(?s).*=\$\?\r*\n(.*?){mark}=(\d+)", seconds)  # what is typed ahead is echoed twice
        self.status = int(match[2])
        return match[1].replace("\r", "").strip()

    def login(self, seconds: float = 60) -> "Console":
        """Press Enter until the tiny guest asks who is there; then be root."""
        deadline = time.monotonic() + seconds
        while True:
            self.send("\n")
            try:
                found = self.expect(PROMPT, 2)
                break
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
        if "login" in found[0]:
            self.send("root\n")
            self.expect(PROMPT, 20)
        self.send("stty cols 1000\n")  # lines that are wrapped as they are echoed would not be recognized
        self.expect(r"cols 1000\r*\n(?s:.*)" + PROMPT, 20)
        return self

    def closed(self, seconds: float = 10) -> bool:
        """Whether the server ends the session within that time."""
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                try:
                    self.socket.recv(timeout=deadline - time.monotonic())
                except TimeoutError:
                    return False
        except ConnectionClosed:
            return True
        return False

    def close(self) -> None:
        self.socket.close()


class Virtctl:
    """The commands, for one namespace."""

    def __init__(self, platform: Platform, namespace: str = "default") -> None:
        self.platform = platform
        self.namespace = namespace

    def _path(self, resource: str, name: str, sub: str) -> str:
        return f"{GROUP}/namespaces/{self.namespace}/{resource}/{name}/{sub}"

    def _put(self, resource: str, name: str, sub: str, options: Object | None) -> bytes:
        """kubecli marshals the options struct; calls without options have no body."""
        return self.platform.request("PUT", self._path(resource, name, sub), options)

    # --- power ---

    def start(self, name: str, *, paused: bool = False, dry_run: bool = False) -> None:
        self._put(VM, name, "start", _options(paused=paused or None, dryRun=["All"] if dry_run else None))

    def stop(self, name: str, *, grace_period: int | None = None, dry_run: bool = False) -> None:
        self._put(VM, name, "stop", _options(gracePeriod=grace_period, dryRun=["All"] if dry_run else None))

    def restart(self, name: str, *, force: bool = False) -> None:
        self._put(VM, name, "restart", _options(gracePeriodSeconds=0 if force else None))

    def pause(self, name: str) -> None:
        self._put(VMI, name, "pause", {})

    def unpause(self, name: str) -> None:
        self._put(VMI, name, "unpause", {})

    def soft_reboot(self, name: str) -> None:
        self._put(VMI, name, "softreboot", None)

    def reset(self, name: str) -> None:
        self._put(VMI, name, "reset", None)

    def freeze(self, name: str, unfreeze_timeout: str = "5m0s") -> None:
        self._put(VMI, name, "freeze", {"unfreezeTimeout": unfreeze_timeout})

    def unfreeze(self, name: str) -> None:
        self._put(VMI, name, "unfreeze", None)

    # --- questions ---

    def guestosinfo(self, name: str) -> Object:
        return json.loads(self.platform.request("GET", self._path(VMI, name, "guestosinfo")))

    def userlist(self, name: str) -> Object:
        return json.loads(self.platform.request("GET", self._path(VMI, name, "userlist")))

    def fslist(self, name: str) -> Object:
        return json.loads(self.platform.request("GET", self._path(VMI, name, "filesystemlist")))

    def expand(self, name: str) -> Object:
        return json.loads(self.platform.request("GET", self._path(VM, name, "expand-spec")))

    def version(self) -> Object:
        return json.loads(self.platform.request("GET", f"{GROUP}/version"))

    # --- streams ---

    def _stream(self, resource: str, name: str, sub: str) -> ClientConnection:
        """A WebSocket as kubecli dials it. Raises ApiError for a refusal before the upgrade."""
        url = f"wss://127.0.0.1:{self.platform.port}{self._path(resource, name, sub)}"
        try:
            opened = connect(
                url, ssl=self.platform.tls(), subprotocols=[PROTOCOL], compression=None, max_size=None,
                ping_interval=None, open_timeout=20,
            ).__enter__()  # fmt: skip
        except InvalidStatus as error:
            raise ApiError(error.response.status_code, (error.response.body or b"").decode()) from error
        assert opened.subprotocol == PROTOCOL
        return opened

    def console(self, name: str) -> Console:
        return Console(self._stream(VMI, name, "console"))

    def vnc(self, name: str, *, preserve_session: bool = False) -> ClientConnection:
        return self._stream(VMI, name, "vnc" + ("?preserveSession=true" if preserve_session else ""))

    def vnc_screenshot(self, name: str) -> bytes:
        return self.platform.request("GET", self._path(VMI, name, "vnc/screenshot"))

    def dial(self, kind: str, name: str, port: int, protocol: str = "tcp") -> ClientConnection:
        """One connection of port-forward: the bytes of `--stdio`."""
        return self._stream(VM if kind == "vm" else VMI, name, f"portforward/{port}/{protocol}")

    @contextmanager
    def port_forward(self, kind: str, name: str, port: int) -> Iterable[int]:
        """A local TCP port; each connection to it is one WebSocket."""
        server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, args=(server, kind, name, port), daemon=True).start()
        yield server.getsockname()[1]
        server.close()

    def _accept(self, server: socket.socket, kind: str, name: str, port: int) -> None:
        with self.platform.space.entered():
            while True:
                try:
                    accepted, _ = server.accept()
                except OSError:
                    return
                stream = self.dial(kind, name, port)
                threading.Thread(target=_pump, args=(accepted, stream), daemon=True).start()
                threading.Thread(target=_drain, args=(stream, accepted), daemon=True).start()

    # --- image-upload ---

    def upload_token(self, claim: str) -> str:
        body = {
            "apiVersion": "upload.cdi.kubevirt.io/v1beta1",
            "kind": "UploadTokenRequest",
            "metadata": {"name": "token-for-virtctl", "namespace": self.namespace},
            "spec": {"pvcName": claim},
        }
        path = f"/apis/upload.cdi.kubevirt.io/v1beta1/namespaces/{self.namespace}/uploadtokenrequests"
        return str(json.loads(self.platform.request("POST", path, body))["status"]["token"])

    def upload_url(self) -> str:
        path = "/apis/cdi.kubevirt.io/v1beta1/cdiconfigs/config"
        return str(json.loads(self.platform.request("GET", path))["status"]["uploadProxyURL"])

    def head(self, path: str, token: str) -> int:
        """Whether the proxy has that endpoint: virtctl asks for upload-async first."""
        return self._proxy("HEAD", path, token)[0]

    def post(self, path: str, token: str, body: Any, length: int | None = None) -> tuple[int, str]:
        size = {"Content-Length": str(length)} if length is not None else {}
        return self._proxy("POST", path, token, body, {"Content-Type": "application/octet-stream", **size})

    def _proxy(
        self, method: str, path: str, token: str, body: Any = None, headers: Object | None = None
    ) -> tuple[int, str]:
        """The upload proxy knows nothing of client certificates: the token is all."""
        host, port = self.upload_url().removeprefix("https://").split(":")
        connection = http.client.HTTPSConnection(
            host, int(port), context=self.platform.tls(certificate=False), timeout=60
        )
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {token}", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def image_upload(self, claim: str, data: Any, length: int | None = None) -> tuple[int, str]:
        """From the token on, as `virtctl image-upload`: HEAD, then POST until it is no longer 503."""
        token = self.upload_token(claim)
        path = UPLOAD_ASYNC if self.head(UPLOAD_ASYNC, token) == 200 else UPLOAD_SYNC
        return self.post(path, token, data, length)


def _options(**given: Any) -> Object:
    """Go's `omitempty`."""
    return {key: value for key, value in given.items() if value is not None}


def _pump(source: socket.socket, target: ClientConnection) -> None:
    try:
        while data := source.recv(BUFFER):
            target.send(data)
    except (OSError, ConnectionClosed):
        pass
    target.close()


def _drain(source: ClientConnection, target: socket.socket) -> None:
    try:
        for data in source:
            target.sendall(data)
    except (OSError, ConnectionClosed):
        pass
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)  # which also ends `_pump`, that reads from it
