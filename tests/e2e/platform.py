"""A platform of its own for the end-to-end tests: started by the public `isthmus up`, in a network namespace.

The namespace keeps bridges, addresses and rules of the tests apart from whatever the machine runs; a link to nowhere
stands for the way to the world. Everything here is synchronous: `Platform.request` speaks to the API as any client
does, `kubectl` is the real one.
"""

import contextlib
import ctypes
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isthmus.lib.home import Home

Object = dict[str, Any]
BIN = Path(sys.executable).parent
KUBECTL = shutil.which("kubectl", path=f"{BIN}:{os.environ['PATH']}")
NETNS = Path("/run/netns")
CGROUPS = Path("/sys/fs/cgroup")
PATHS = {
    "vm": "/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachines",
    "vmi": "/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances",
    "dv": "/apis/cdi.kubevirt.io/v1beta1/namespaces/{namespace}/datavolumes",
    "nad": "/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions",
    "pvc": "/api/v1/namespaces/{namespace}/persistentvolumeclaims",
    "pv": "/api/v1/persistentvolumes",
    "pod": "/api/v1/namespaces/{namespace}/pods",
    "node": "/api/v1/nodes",
    "event": "/api/v1/namespaces/{namespace}/events",
}


def wait_for(look: Callable[[], Any], seconds: float = 30, every: float = 0.2, why: Callable[[], Any] | None = None):
    """What `look()` gives once that is true; `why()` explains a failure."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s; last seen: {why() if why else found!r}")
        time.sleep(every)
    return found


def sh(*argv: str, check: bool = True) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{argv}: {done.stderr}")
    return done.stdout


class Namespace:
    """A network namespace with a link that goes nowhere as its default route."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> None:
        sh("ip", "netns", "del", self.name, check=False)
        sh("ip", "netns", "add", self.name)
        for command in (
            "link set lo up", "link add uplink type veth peer name world", "addr add 192.0.2.2/24 dev uplink",
            "link set uplink up", "link set world up", "route add default via 192.0.2.1",
        ):  # fmt: skip
            sh("ip", "-n", self.name, *command.split())

    def delete(self) -> None:
        sh("ip", "netns", "del", self.name, check=False)

    def links(self) -> set[str]:
        return {link["ifname"] for link in json.loads(sh("ip", "-n", self.name, "-j", "link"))}

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread, and what it starts, are inside."""
        libc = ctypes.CDLL(None, use_errno=True)
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        inside = os.open(NETNS / self.name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            assert libc.setns(inside, 0) == 0, os.strerror(ctypes.get_errno())
            yield
        finally:
            assert libc.setns(before, 0) == 0
            os.close(inside)
            os.close(before)


class ApiError(Exception):
    """An answer from 400 on."""

    def __init__(self, code: int, body: str) -> None:
        self.code, self.body = code, body
        super().__init__(f"{code}: {body}")

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["message"])


@dataclass
class Platform:
    """One home. Methods must be called with its network namespace entered."""

    home: Home
    port: int
    node: str
    space: Namespace
    user: int = 0  # whom `isthmus` runs as, in a user namespace if it is not root
    said: str = ""  # on standard error, by the last command
    _tls: ssl.SSLContext | None = field(default=None, repr=False)

    # --- its processes ---

    def up(self) -> None:
        self.isthmus("up", "--port", str(self.port), "--node", self.node)
        wait_for(lambda: self.ready_node(), 30)

    def down(self, *options: str) -> None:
        self.isthmus("down", *options)

    def isthmus(self, command: str, *options: str, timeout: float = 120) -> str:
        user = ["unshare", "--user", f"--map-user={self.user}"] if self.user else []
        argv = [*user, str(BIN / "isthmus"), *command.split(), *options]
        environment = os.environ | {"ISTHMUS_HOME": str(self.home.root), "KUBECONFIG": str(self.home.kubeconfig)}
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=timeout, check=False)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        self.said = done.stderr
        return done.stdout

    def ready_node(self) -> bool:
        with contextlib.suppress(OSError, ApiError, http.client.HTTPException):
            node = self.get("node", self.node)
            conditions = (node.get("status") or {}).get("conditions") or []
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        return False

    def pid(self, component: str) -> int:
        """supervisor, apiserver, controllers or agent."""
        if component == "supervisor":
            return int(json.loads((self.home.run / "supervisor.json").read_text())["pid"])
        found = [path for path in self.home.run.glob("*.pid") if path.stem.startswith(component)]
        return int(found[0].read_text())

    def kill(self, component: str) -> int:
        pid = wait_for(lambda: alive(pid := self.pid(component)) and pid, 20)  # it may be between two starts
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid), 5, 0.02)
        return pid

    def processes(self, *needles: str) -> list[int]:
        """Pids of this home whose arguments hold all `needles`."""
        wanted = [str(self.home.root).encode(), *(needle.encode() for needle in needles)]
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and all(n in (entry / "cmdline").read_bytes() for n in wanted):
                    found.append(int(entry.name))
        return sorted(found)

    def lasting(self) -> list[int]:
        """All pids of this home but the appliance's builder, which may just be ending."""
        return sorted(set(self.processes()) - set(self.processes("isthmus.operations.appliance")))

    def qemu(self, uid: str) -> int | None:
        """The pid of a VMI's machine."""
        found = self.processes("qemu-system", f"vms/{uid}/")
        assert len(found) < 2, found
        return found[0] if found else None

    def leftovers(self) -> dict[str, set[str]]:
        """What machines leave on a host while they run: to be compared before and after."""
        vms, cgroups = self.home.node(self.node) / "vms", CGROUPS.glob(f"**/isthmus/{self.node}/*")
        return {
            "machines": {path.name for path in vms.iterdir()} if vms.is_dir() else set(),
            "processes": {str(pid) for pid in self.processes("qemu-system")},
            "cgroups": {path.name for path in cgroups if path.is_dir()},
            "links": self.space.links(),
            "attachments": {p.name for p in (self.home.node(self.node) / "net/attachments").glob("*")},
        }

    # --- its API ---

    def request(
        self, method: str, path: str, body: Any = None, content: str = "application/json", headers: Any = None
    ) -> bytes:
        """One request as the administrator. Raises ApiError, OSError."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls(), timeout=30)
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            sent = {"Content-Type": content, "Accept": "application/json", **(headers or {})}
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 400:
                raise ApiError(answer.status, text.decode(errors="replace"))
            return text
        finally:
            connection.close()

    def tls(self, *, certificate: bool = True) -> ssl.SSLContext:
        if not certificate:
            return ssl.create_default_context(cafile=str(self.home.pki / "ca.crt"))
        if self._tls is None:
            self._tls = self.tls(certificate=False)
            self._tls.load_cert_chain(self.home.pki / "admin.crt", self.home.pki / "admin.key")
        return self._tls

    def path(self, kind: str, name: str = "", namespace: str = "default") -> str:
        return PATHS[kind].format(namespace=namespace) + (f"/{name}" if name else "")

    def get(self, kind: str, name: str, namespace: str = "default") -> Object:
        return json.loads(self.request("GET", self.path(kind, name, namespace)))

    def find(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        try:
            return self.get(kind, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, kind: str, namespace: str = "default", query: str = "") -> list[Object]:
        return json.loads(self.request("GET", f"{self.path(kind, '', namespace)}?{query}"))["items"]

    def create(self, body: Object, namespace: str = "default") -> Object:
        kinds = {"VirtualMachine": "vm", "VirtualMachineInstance": "vmi", "DataVolume": "dv"}
        kind = kinds.get(body["kind"], body["kind"].lower())
        return json.loads(self.request("POST", self.path(kind, "", namespace), body))

    def patch(self, kind: str, name: str, body: Any, namespace: str = "default") -> Object:
        content = f"application/{'json' if isinstance(body, list) else 'merge'}-patch+json"
        return json.loads(self.request("PATCH", self.path(kind, name, namespace), body, content))

    def delete(self, kind: str, name: str, namespace: str = "default", **options: Any) -> None:
        with contextlib.suppress(ApiError):
            self.request("DELETE", self.path(kind, name, namespace), options or None)

    def wait_gone(self, kind: str, name: str, namespace: str = "default", seconds: float = 60) -> None:
        wait_for(lambda: self.find(kind, name, namespace) is None, seconds)

    def wait_phase(self, kind: str, name: str, phase: str, seconds: float = 30, namespace: str = "default") -> Object:
        def look() -> Object | None:
            found = self.find(kind, name, namespace)
            return found if found and (found.get("status") or {}).get("phase") == phase else None

        return wait_for(look, seconds, why=lambda: self.describe(kind, name, namespace))

    def wait_status(self, name: str, status: str, seconds: float = 30) -> Object:
        """Until a VM's printableStatus is `status`."""

        def look() -> Object | None:
            found = self.find("vm", name)
            return found if found and (found.get("status") or {}).get("printableStatus") == status else None

        return wait_for(look, seconds, why=lambda: self.describe("vm", name))

    def wait_condition(self, kind: str, name: str, condition: str, seconds: float = 30, *, status: str = "True"):
        def look() -> Object | None:
            found = self.find(kind, name)
            return found if found and (get_condition(found, condition) or {}).get("status") == status else None

        return wait_for(look, seconds, why=lambda: self.describe(kind, name))

    def describe(self, kind: str, name: str, namespace: str = "default") -> Object:
        """What a person would look at to find out why."""
        found = self.find(kind, name, namespace) or {}
        events = [
            f"{e['reason']}: {e['message']}"
            for e in self.list("event", namespace)
            if e["involvedObject"].get("name", "").find(name) >= 0
        ]
        return {"status": found.get("status"), "events": events[-8:]}

    def kubectl(self, *args: str, stdin: Any = None, timeout: float = 60, code: int = 0) -> str:
        """The real kubectl; its output."""
        argv = [KUBECTL, "--kubeconfig", str(self.home.kubeconfig), *args]
        text = stdin if isinstance(stdin, str | None) else json.dumps(stdin)
        environment = os.environ | {"KUBECACHEDIR": str(self.home.root / "kubecache")}
        done = subprocess.run(
            argv, input=text, capture_output=True, text=True, timeout=timeout, env=environment, check=False
        )
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def get_condition(obj: Object, kind: str) -> Object | None:
    found = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in found if c["type"] == kind), None)
