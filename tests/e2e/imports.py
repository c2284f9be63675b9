"""Imports as a person makes them: the command, the object, what it left, a server to download from."""

import base64
import contextlib
import functools
import http.server
import io
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e import platform as platforms
from tests.e2e.platform import BIN, Platform, wait_for

Object = dict[str, Any]
OWN = "isthmus.dev/import"
platforms.PATHS |= {
    "vmimport": "/apis/isthmus.dev/v1alpha1/namespaces/{namespace}/virtualmachineimports",
    "secret": "/api/v1/namespaces/{namespace}/secrets",
    "configmap": "/api/v1/namespaces/{namespace}/configmaps",
}


@dataclass(frozen=True)
class Ended:
    """How the command ended."""

    code: int
    output: str
    errors: str
    name: str  # of the import, if one was made


@dataclass
class Imports:
    """One platform's imports; everything that was made is deleted by `clean_up`."""

    platform: Platform
    vms: list[str] = field(default_factory=list)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, *arguments: str, timeout: float = 240) -> Ended:
        """`isthmus import ...` to its end."""
        process = self.start(*arguments)
        output, errors = process.communicate(timeout=timeout)
        return self.ended(process.returncode, output, errors)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        home = self.platform.home
        environment = os.environ | {"ISTHMUS_HOME": str(home.root), "KUBECONFIG": str(home.kubeconfig)}
        # Whoever started the tests in the background has their children ignore Ctrl-C.
        argv = ["env", "--default-signal=INT", str(BIN / "isthmus"), "import", *arguments]
        pipe = subprocess.PIPE
        self.processes.append(subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=environment))
        return self.processes[-1]

    def ended(self, code: int, output: str, errors: str) -> Ended:
        name = next((ln.split("/")[1].split()[0] for ln in output.splitlines() if ln.endswith(" created")), "")
        status = (self.platform.find("vmimport", name) or {}).get("status") or {} if name else {}
        if vm := status.get("virtualMachineName"):
            self.vms.append(vm)
        return Ended(code, output, errors, name)

    def create(self, name: str, **spec: Any) -> Object:
        body = {
            "apiVersion": "isthmus.dev/v1alpha1", "kind": "VirtualMachineImport", "metadata": {"name": name},
            "spec": spec,
        }  # fmt: skip
        return json.loads(self.platform.request("POST", self.platform.path("vmimport"), body))

    def status(self, name: str) -> Object:
        return (self.platform.find("vmimport", name) or {}).get("status") or {}

    def wait(self, name: str, *phases: str, seconds: float = 60) -> Object:
        """The status, once the import's phase is one of `phases`."""

        def look() -> Object | None:
            status = self.status(name)
            return status if status.get("phase") in phases else None

        return wait_for(look, seconds, 0.1, why=lambda: self.platform.describe("vmimport", name))

    def disk(self, claim: str) -> Path:
        """The file of a claim's volume."""
        volume = self.platform.get("pvc", claim)["spec"]["volumeName"]
        return Path(self.platform.get("pv", volume)["spec"]["local"]["path"]) / "disk.img"

    def leftovers(self) -> Object:
        """What failed and deleted imports must not leave."""
        volumes = self.platform.home.node(self.platform.node) / "volumes"
        claims = [c for c in self.platform.list("pvc") if OWN in (c["metadata"].get("labels") or {})]
        kept = {c["spec"].get("volumeName") for c in self.platform.list("pvc")}
        return {
            "pods": [p["metadata"]["name"] for p in self.platform.list("pod", query=f"labelSelector={OWN}")],
            "vmis": [v["metadata"]["name"] for v in self.platform.list("vmi", query=f"labelSelector={OWN}")],
            "nads": [n["metadata"]["name"] for n in self.platform.list("nad", query=f"labelSelector={OWN}")],
            "claims": [
                c["metadata"]["name"]
                for c in claims
                if any(o["kind"] == "VirtualMachineImport" for o in c["metadata"].get("ownerReferences") or [])
            ],
            "volumes": [path.name for path in volumes.iterdir() if path.name not in kept] if volumes.is_dir() else [],
            "workers": self.platform.processes("isthmus.engine.node.worker"),
        }

    def stale_machines(self) -> list[str]:
        """Directories of machines that are no more; the agent's collection finds them within a minute."""
        folder = self.platform.home.node(self.platform.node) / "vms"
        known = {v["metadata"]["uid"] for v in self.platform.list("vmi")}
        return [path.name for path in folder.iterdir() if path.name not in known] if folder.is_dir() else []

    def wait_clean(self, seconds: float = 40) -> None:
        """Until nothing is left."""
        wait_for(lambda: not any(self.leftovers().values()), seconds, why=self.leftovers)

    def clean_up(self) -> None:
        """Whatever a test that failed half way has left must not be the next one's."""
        for process in self.processes:
            process.kill()
            process.wait()
        for found in self.platform.list("vmimport"):
            vm = (found.get("status") or {}).get("virtualMachineName")
            self.vms += [vm] if vm else []
            self.platform.delete("vmimport", found["metadata"]["name"])
        for name in self.vms:
            self.platform.delete("vm", name)
        for name in self.vms:
            self.platform.wait_gone("vm", name)
        for claim in self.platform.list("pvc"):
            self.platform.delete("pvc", claim["metadata"]["name"])
        self.wait_clean()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files below a folder, for whoever has the password; of a range only if the server has them."""

    password = ""
    delay = 0.0
    ranges: list[str] | None = None  # which ones were asked for

    def do_GET(self) -> None:
        wanted = base64.b64encode(f"vmware:{self.password}".encode()).decode()
        if self.password and self.headers.get("Authorization") != f"Basic {wanted}":
            self.send_error(401)
            return
        with contextlib.suppress(ConnectionError):
            if self.ranges is not None and "Range" in self.headers:
                self.send_range(self.ranges)
            else:
                super().do_GET()

    def send_range(self, asked: list[str]) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        asked.append(self.headers["Range"])
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        size = path.stat().st_size
        start, end = int(first), min(int(last) + 1 if last else size, size)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(start)
            self.copyfile(io.BytesIO(file.read(end - start)), self.wfile)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        while data := source.read(1 << 14):
            outputfile.write(data)
            time.sleep(self.delay)

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path, *, password: str = "", delay: float = 0.0, ranges: list[str] | None = None) -> Iterator[str]:
    """The URL of a server on loopback, in the network namespace of the caller; `ranges`: it serves and notes them."""
    handler = type("Handler", (Handler,), {"password": password, "delay": delay, "ranges": ranges})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
