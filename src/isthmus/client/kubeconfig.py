"""Kubeconfig files (`v1 Config`) and the service account of a pod: who we are, and whom we trust.

Read by `connect`, written by `operations` and `engine.auth` for our own identities.
"""

import base64
import binascii
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubeconfigError(Exception):
    """The file is missing, unreadable or does not name what it should. `str()` is fit to show to a person."""


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """A credential plugin (client.authentication.k8s.io): a command that prints a token or a certificate."""

    api_version: str
    command: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Access:
    """One context of a kubeconfig, resolved: where the server is, whom to trust, who we are."""

    server: str
    ca: bytes | None = None  # PEM; None: the system's authorities
    certificate: bytes | None = None  # PEM, with `key`
    key: bytes | None = None
    token: str = ""
    token_file: Path | None = None
    username: str = ""
    password: str = ""
    exec: ExecCredential | None = None
    insecure: bool = False
    server_name: str = ""  # checked instead of the URL's host
    namespace: str = "default"


def default_path() -> Path:
    """The first file of `$KUBECONFIG`, else ~/.kube/config."""
    first = next(filter(None, os.environ.get("KUBECONFIG", "").split(":")), "")
    return Path(first) if first else Path.home() / ".kube/config"


def load(path: Path, context: str = "") -> Access:
    """Read `context` (by default the current one) from the file. Raises KubeconfigError."""
    try:
        config = yaml.safe_load(path.read_text())
    except OSError as error:
        raise KubeconfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path}: is no YAML file") from error
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path}: is no kubeconfig (expected a mapping with clusters, users and contexts)")
    return parse(config, context, base=path.parent, origin=str(path))


def parse(config: dict[str, Any], context: str = "", *, base: Path = Path(), origin: str = "kubeconfig") -> Access:
    """Resolve one context; file names are relative to `base`. Raises KubeconfigError."""
    name = context or config.get("current-context") or ""
    chosen = _named(config, "contexts", "context", name, origin)
    cluster = _named(config, "clusters", "cluster", str(chosen.get("cluster", "")), origin)
    user = _named(config, "users", "user", str(chosen["user"]), origin) if chosen.get("user") else {}
    if not cluster.get("server"):
        raise KubeconfigError(f"{origin}: the cluster of context {name!r} has no server")
    plugin = user.get("exec")
    token_file = user.get("tokenFile")
    return Access(
        server=str(cluster["server"]).rstrip("/"),
        ca=_data(cluster, "certificate-authority", base, origin),
        certificate=_data(user, "client-certificate", base, origin),
        key=_data(user, "client-key", base, origin),
        token=str(user.get("token") or ""),
        token_file=base / token_file if token_file else None,
        username=str(user.get("username") or ""),
        password=str(user.get("password") or ""),
        exec=_plugin(plugin) if plugin else None,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=str(cluster.get("tls-server-name") or ""),
        namespace=str(chosen.get("namespace") or "default"),
    )


def _named(config: dict[str, Any], listing: str, key: str, name: str, origin: str) -> dict[str, Any]:
    entries = [e for e in config.get(listing) or [] if isinstance(e, dict)]
    found = next((e for e in entries if e.get("name") == name), None)
    if found is None or not isinstance(found.get(key), dict):
        known = ", ".join(str(e.get("name")) for e in entries) or "none"
        raise KubeconfigError(f"{origin}: no {key} {name!r} (there are: {known})")
    body: dict[str, Any] = found[key]
    return body


def _data(section: dict[str, Any], key: str, base: Path, origin: str) -> bytes | None:
    if inline := section.get(f"{key}-data"):
        try:
            return base64.b64decode(inline, validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise KubeconfigError(f"{origin}: {key}-data is not base64") from error
    if not section.get(key):
        return None
    path = base / str(section[key])
    try:
        return path.read_bytes()
    except OSError as error:
        raise KubeconfigError(f"{origin}: {key}: {path} cannot be read ({error.strerror})") from error


def _plugin(section: dict[str, Any]) -> ExecCredential:
    return ExecCredential(
        api_version=str(section.get("apiVersion") or "client.authentication.k8s.io/v1"),
        command=str(section.get("command") or ""),
        args=tuple(str(a) for a in section.get("args") or []),
        env={str(e["name"]): str(e["value"]) for e in section.get("env") or []},
    )


def in_cluster(directory: Path = SERVICE_ACCOUNT) -> Access | None:
    """The service account that a pod is given, or None outside of a pod."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = directory / "token"
    if not host or not token.is_file():
        return None
    namespace = directory / "namespace"
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca=(directory / "ca.crt").read_bytes(),
        token_file=token,
        namespace=namespace.read_text().strip() if namespace.is_file() else "default",
    )


def render(access: Access, *, name: str = "isthmus", user: str = "admin") -> dict[str, Any]:
    """A `v1 Config` of one context, everything inline."""
    cluster: dict[str, Any] = {"server": access.server}
    if access.ca:
        cluster["certificate-authority-data"] = base64.b64encode(access.ca).decode()
    if access.insecure:
        cluster["insecure-skip-tls-verify"] = True
    if access.server_name:
        cluster["tls-server-name"] = access.server_name
    identity: dict[str, Any] = {"token": access.token} if access.token else {}
    if access.certificate and access.key:
        identity["client-certificate-data"] = base64.b64encode(access.certificate).decode()
        identity["client-key-data"] = base64.b64encode(access.key).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": identity}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user, "namespace": access.namespace}}],
        "current-context": name,
    }


def write(path: Path, access: Access, *, name: str = "isthmus", user: str = "admin") -> None:
    """Write the file whole or not at all, readable by its owner only. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp gives mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            yaml.safe_dump(render(access, name=name, user=user), file, sort_keys=False)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
