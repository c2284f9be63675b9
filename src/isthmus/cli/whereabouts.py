"""Can the platform read a path of this machine by itself? If not, the file is uploaded.

It can if every node is this machine (same boot), the user may use paths of the node, and the platform's own user may
read the file.
"""

import os
import stat
from pathlib import Path

from isthmus.client import resources
from isthmus.client.api import Resource
from isthmus.client.rest import RestClient
from isthmus.lib.home import Home, default_root
from isthmus.machinery.errors import StatusError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", namespaced=False)


async def find_obstacle(client: RestClient, namespace: str, path: Path, kubeconfig: Path | None) -> str:
    """Why the platform cannot read `path` by itself; "" if it can."""
    if not await _is_here(client):
        return "the platform is on another machine"
    if not await _may_use_paths(client, namespace):
        return "you may not use paths of the node"
    file = next((p for p in (path, *path.glob("*.ovf")) if p.is_file()), path)
    if not _is_readable(file, _platform_user(kubeconfig)):
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


def _platform_user(kubeconfig: Path | None) -> int:
    """Whose home the kubeconfig belongs to; root if it is none that can be seen here."""
    given = kubeconfig or Path(os.environ.get("KUBECONFIG", "").split(":")[0] or default_root() / "kubeconfig")
    for root in (given.parent, default_root()):
        if Home(root).store.exists():
            return root.stat().st_uid
    return 0


def _is_readable(path: Path, uid: int) -> bool:
    status = path.stat()
    if uid in (0, status.st_uid):
        return uid == 0 or bool(status.st_mode & stat.S_IRUSR)
    return bool(status.st_mode & stat.S_IROTH)
