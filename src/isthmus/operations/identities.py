"""Keys, certificates and kubeconfigs of a home: made where missing, before its processes start."""

from pathlib import Path

from isthmus.client import kubeconfig
from isthmus.engine.auth import pki
from isthmus.lib.home import Home
from isthmus.operations.components import Component

ADMIN = "kubernetes-admin"


def prepare(home: Home, server: str, components: list[Component]) -> None:
    """Make what is missing. The administrator's kubeconfig is written anew whenever the address has changed."""
    authority = pki.Authority(home.pki)
    pki.signing_key(home.pki)
    _write(authority, home.kubeconfig, server, ADMIN, ("system:masters",))
    for component in components:
        if component.user:
            path = home.component_kubeconfig(component.name)
            _write(authority, path, server, component.user, component.groups, component.name)


def _write(
    authority: pki.Authority, path: Path, server: str, user: str, groups: tuple[str, ...], file_name: str = "admin"
) -> None:
    certificate, key = authority.client(file_name, user, groups)
    access = kubeconfig.Access(
        server=server,
        ca=authority.certificate_path.read_bytes(),
        certificate=certificate.read_bytes(),
        key=key.read_bytes(),
    )
    if not path.exists() or kubeconfig.load(path).server != server:
        kubeconfig.write(path, access, user=user)
