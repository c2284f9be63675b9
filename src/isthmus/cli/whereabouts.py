"""Can the platform read a path of this machine by itself? If not, the file is uploaded.

It can if every node is this machine (same boot), the platform's home is seen from here and its processes see the same
mounts (they may be in a container, or we), the user may use paths of the node, and the platform's own user may read the
file.
"""

import contextlib
import os
import stat
from pathlib import Path

from isthmus.client import resources
from isthmus.client.api import Resource
from isthmus.client.rest import RestClient
from isthmus.lib.home import Home, default_root
from isthmus.machinery.errors import StatusError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SYSTEM = Path("/var/lib/isthmus")
REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", namespaced=False)


async def find_obstacle(client: RestClient, namespace: str, path: Path, kubeconfig: Path | None) -> str:
    """Why the platform cannot read `path` by itself; "" if it can."""
    if not await _is_here(client):
        return "the platform is on another machine"
    home = _find_home(kubeconfig)
    if home is None or not sees_the_same(home):
        return "the platform may not see the files of this command"
    if not await _may_use_paths(client, namespace):
        return "you may not use paths of the node"
    file = next((p for p in (path, *path.glob("*.ovf")) if p.is_file()), path)
    if not _is_readable(file, home.root.stat().st_uid):
        return "the platform's user may not read the file"
    return ""


async def _is_here(client: RestClient) -> bool:
    try:
        nodes = (await client.list(resources.NODES))["items"]
    except StatusError as error:
        if error.code != 403:
            raise
        return False
    here = BOOT_ID.read_text().strip()
    boots = [((n.get("status") or {}).get("nodeInfo") or {}).get("bootID") for n in nodes]
    return bool(boots) and all(boot == here for boot in boots)


async def _may_use_paths(client: RestClient, namespace: str) -> bool:
    attributes = {"namespace": namespace, "verb": "use", "group": "isthmus.dev", "resource": "hostpaths"}
    body = {
        "apiVersion": REVIEWS.api_version,
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": attributes},
    }
    return bool((await client.create(REVIEWS, body))["status"].get("allowed"))


def _find_home(kubeconfig: Path | None) -> Home | None:
    """The home that the kubeconfig lies in, or the usual one; None if neither can be seen here."""
    given = kubeconfig or Path(os.environ.get("KUBECONFIG", "").split(":")[0] or default_root() / "kubeconfig")
    for root in (given.parent, default_root(), SYSTEM):
        try:
            if Home(root).run.is_dir():
                return Home(root)
        except PermissionError:  # it is there, but not ours to look into
            return Home(root)
    return None


def sees_the_same(home: Home, own: Path = Path("/proc/self/ns/mnt")) -> bool:
    """Whether the platform's processes have our mounts; True if they cannot be asked."""
    for file in home.run.glob("*.pid"):
        with contextlib.suppress(OSError, ValueError):
            return Path(f"/proc/{int(file.read_text())}/ns/mnt").readlink() == own.readlink()
    return True


def _is_readable(path: Path, uid: int) -> bool:
    status = path.stat()
    if uid in (0, status.st_uid):
        return uid == 0 or bool(status.st_mode & stat.S_IRUSR)
    return bool(status.st_mode & stat.S_IROTH)
