"""cloud-init's data as files on a small CD-ROM: NoCloud or ConfigDrive. Pure.

Sources: cloud-init's documentation of both data sources; KubeVirt's behaviour for names, keys and fallbacks.
"""

import base64
import binascii
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.engine.node.vm.errors import SpecError

Object = dict[str, Any]

NOCLOUD_LABEL = "cidata"
CONFIG_DRIVE_LABEL = "config-2"
USER_DATA_KEYS = ("userdata", "userData")
NETWORK_DATA_KEYS = ("networkdata", "networkData")
_IDENTITY = uuid.UUID("9a2f7a0e-94f2-4c2e-8f0b-7d6d2ac1fb5e")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the guest is."""

    name: str
    namespace: str
    hostname: str
    firmware_uuid: str
    instance_type: str = ""

    @property
    def instance_id(self) -> str:
        """Follows from the firmware's identity: cloud-init runs its once-per-instance parts again when it changes."""
        return str(uuid.uuid5(_IDENTITY, self.firmware_uuid))


@dataclass(frozen=True, slots=True)
class Secrets:
    """The data of the Secrets that a source names, decoded; empty where it names none."""

    user_data: Mapping[str, bytes]
    network_data: Mapping[str, bytes]
    ssh_keys: Sequence[str] = ()


def find_source(volume: Object) -> tuple[str, Object] | None:
    """(`cloudInitNoCloud` or `cloudInitConfigDrive`, its source), or None for another volume."""
    for kind in ("cloudInitNoCloud", "cloudInitConfigDrive"):
        if kind in volume:
            return kind, volume[kind] or {}
    return None


def _pick(source: Object, plain: str, encoded: str, secret: Mapping[str, bytes], keys: Sequence[str]) -> bytes:
    """The one place where a piece of data is given: a Secret, base64, or text."""
    for key in keys:
        if key in secret:
            return secret[key]
    if source.get(encoded):
        try:
            return base64.b64decode(source[encoded], validate=True)
        except binascii.Error as error:
            raise SpecError(f"spec.volumes.{encoded}", "is not base64") from error
    return str(source.get(plain) or "").encode()


def build_files(kind: str, source: Object, identity: Identity, secrets: Secrets) -> tuple[str, dict[str, bytes]]:
    """(volume label, files) of a cloud-init source. Raises SpecError."""
    user = _pick(source, "userData", "userDataBase64", secrets.user_data, USER_DATA_KEYS)
    network = _pick(source, "networkData", "networkDataBase64", secrets.network_data, NETWORK_DATA_KEYS)
    if kind == "cloudInitNoCloud":
        return NOCLOUD_LABEL, _no_cloud(identity, user, network, secrets.ssh_keys)
    return CONFIG_DRIVE_LABEL, _config_drive(identity, user, network, secrets.ssh_keys)


def _no_cloud(identity: Identity, user: bytes, network: bytes, keys: Sequence[str]) -> dict[str, bytes]:
    meta: Object = {"instance-id": identity.instance_id, "local-hostname": identity.hostname}
    if identity.instance_type:
        meta["instance-type"] = identity.instance_type
    if keys:
        meta["public-keys"] = {str(number): key for number, key in enumerate(keys)}
    files = {"meta-data": _json(meta), "user-data": user}
    return files | ({"network-config": network} if network else {})


def _config_drive(identity: Identity, user: bytes, network: bytes, keys: Sequence[str]) -> dict[str, bytes]:
    meta: Object = {
        "instance_id": f"{identity.name}.{identity.namespace}",
        "hostname": identity.hostname,
        "local_hostname": identity.hostname,
        "uuid": identity.firmware_uuid,
    }
    if identity.instance_type:
        meta["instance_type"] = identity.instance_type
    if keys:
        meta["public_keys"] = {str(number): key for number, key in enumerate(keys)}
    files = {"meta_data.json": _json(meta), "user_data": user}
    if network:
        files["network_data.json"] = network
    return {f"openstack/latest/{name}": data for name, data in files.items()}


def _json(value: Object) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"
