"""Open a client: by a kubeconfig, by the service account of a pod, or by the user's default kubeconfig."""

from pathlib import Path

from isthmus.client import kubeconfig as kubeconfigs
from isthmus.client.rest import RestClient
from isthmus.client.transport import Transport


def open_client(kubeconfig: Path | None, user_agent: str, context: str = "") -> RestClient:
    """An `api.Client` for `context` of the file.

    Without a file: `$KUBECONFIG`, else the pod's service account, else ~/.kube/config. Nothing is sent yet.
    `user_agent` is `name/version`; the name becomes the field manager of our writes. Raises KubeconfigError.
    """
    return RestClient(Transport(find_access(kubeconfig, context), user_agent))


def find_access(kubeconfig: Path | None, context: str = "") -> kubeconfigs.Access:
    """The access that `open_client` would use. Raises KubeconfigError."""
    if kubeconfig is not None:
        return kubeconfigs.load(kubeconfig, context)
    path = kubeconfigs.default_path()
    if not context and not path.is_file() and (access := kubeconfigs.in_cluster()) is not None:
        return access
    return kubeconfigs.load(path, context)
