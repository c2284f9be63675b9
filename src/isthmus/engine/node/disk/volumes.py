"""A VMI's volumes as files: each kind of source has one function that makes or finds its image.

Called by the agent before a machine starts, and again when it is started anew: whatever is there is kept. Everything
that belongs to this run alone lies in the machine's own directory, below `disks/`.
"""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from isthmus.codec import iso9660
from isthmus.engine.node.disk import downward, files, probe
from isthmus.engine.node.disk.sources import NotReadyError, Sources, local_path
from isthmus.engine.node.guest import cloudinit
from isthmus.engine.node.vm.disks import NO_DISK_SOURCES
from isthmus.engine.node.vm.errors import SpecError
from isthmus.engine.node.vm.machine import Image, KernelBoot
from isthmus.engine.node.vm.spec import firmware_uuid
from isthmus.machinery import quantity

Object = dict[str, Any]

CONTAINER_DISK_PATH = "/disk"


class ImageStore(Protocol):
    """What is needed of `engine.node.image.store`. Both raise ImageError."""

    async def ensure(self, image: str, pull_policy: str = "IfNotPresent", auth: Mapping[str, Any] | None = None) -> Any:
        """Have the image; `auth` is a parsed `.dockerconfigjson`. An empty policy is Kubernetes' default."""

    async def file(self, image: Any, path: str) -> Path:
        """A file of the image (of a directory that holds one file: that one)."""


@dataclass(frozen=True, slots=True)
class Context:
    """What resolving needs to know of the VMI and the node."""

    vmi: Object
    directory: Path  # the machine's own
    sources: Sources
    images: ImageStore

    @property
    def disks(self) -> Path:
        """Files of this run alone."""
        return self.directory / "disks"

    @property
    def spec(self) -> Object:
        """The VMI's spec."""
        spec: Object = self.vmi["spec"]
        return spec


Resolve = Callable[[Context, str, Object], Awaitable[Image]]


async def resolve_volumes(context: Context) -> dict[str, Image | None]:
    """Every volume that a disk can show, by name. Raises MachineError (NotReadyError: try again) or ImageError."""
    resolved: dict[str, Image | None] = {}
    for volume in context.spec.get("volumes") or []:
        kinds = [kind for kind in volume if kind in RESOLVERS]
        if len(kinds) == 1:
            resolved[volume["name"]] = await RESOLVERS[kinds[0]](context, volume["name"], volume[kinds[0]] or {})
        elif not any(kind in volume for kind in NO_DISK_SOURCES):
            known = ", ".join(sorted(RESOLVERS))
            raise SpecError(f"spec.volumes[{volume['name']}]", f"exactly one source of these is expected: {known}")
    return resolved


async def _pull(context: Context, image: str, policy: str, secret_name: str) -> Any:
    auth = pull_auth(image, await context.sources.secret(secret_name)) if secret_name else None
    return await context.images.ensure(image, policy, auth)


def pull_auth(image: str, secret: Mapping[str, bytes]) -> Object:
    """A pull Secret as `.dockerconfigjson`: either it is one, or (KubeVirt's older form) names a user and a key."""
    if config := secret.get(".dockerconfigjson"):
        try:
            return dict(json.loads(config))
        except ValueError as error:
            raise SpecError("spec.volumes.containerDisk.imagePullSecret", "its .dockerconfigjson is no JSON") from error
    user, password = secret.get("accessKeyId", b""), secret.get("secretKey", b"")
    registry = image.removeprefix("docker://").split("/", 1)[0]
    return {"auths": {registry: {"auth": base64.b64encode(user.strip() + b":" + password.strip()).decode()}}}


async def _container_disk(context: Context, name: str, source: Object) -> Image:
    ref = await _pull(
        context, source["image"], source.get("imagePullPolicy") or "", source.get("imagePullSecret") or ""
    )
    file = await context.images.file(ref, source.get("path") or CONTAINER_DISK_PATH)
    path = files.hold(file, context.disks / f"{name}.base")
    base = probe.look_at(path, trusted_raw=False, read_only=True)
    return await files.ensure_overlay(context.disks / f"{name}.qcow2", base)


async def _claim(context: Context, claim: str, *, read_only: bool) -> Image:
    volume = await context.sources.claim_volume(claim)
    path = Path(local_path(volume))
    if volume["spec"].get("volumeMode") == "Block" and path.is_block_device():
        return probe.look_at(path, read_only=read_only)
    disk = path / files.DISK_NAME
    if not disk.exists():
        files.ensure_volume(path, quantity.whole(volume["spec"]["capacity"]["storage"]))
    return probe.look_at(disk, read_only=read_only)


async def _persistent_volume_claim(context: Context, _name: str, source: Object) -> Image:
    return await _claim(context, source["claimName"], read_only=bool(source.get("readOnly")))


async def _data_volume(context: Context, _name: str, source: Object) -> Image:
    return await _claim(context, source["name"], read_only=False)


async def _ephemeral(context: Context, name: str, source: Object) -> Image:
    base = await _claim(context, (source.get("persistentVolumeClaim") or {})["claimName"], read_only=True)
    return await files.ensure_overlay(context.disks / f"{name}.qcow2", base)


async def _empty_disk(context: Context, name: str, source: Object) -> Image:
    path = context.disks / f"{name}.img"
    files.ensure_raw(path, quantity.whole(source["capacity"]))
    return probe.look_at(path)


async def _host_disk(context: Context, name: str, source: Object) -> Image:
    if "HostDisk" not in await context.sources.feature_gates():
        raise SpecError(
            f"spec.volumes[{name}].hostDisk",
            "gives a guest a file of the host; the KubeVirt object disables the feature gate HostDisk",
        )
    path = Path(source["path"])
    if not path.is_absolute():
        raise SpecError(f"spec.volumes[{name}].hostDisk.path", f"{source['path']!r} is not absolute")
    if source.get("type") == "DiskOrCreate" and not path.exists():
        files.ensure_raw(path, quantity.whole(source.get("capacity") or 0))
    return probe.look_at(path)


def _iso(context: Context, name: str, label: str, contents: Mapping[str, bytes]) -> Image:
    """A CD-ROM; written anew at each start, so that it shows what the objects hold then."""
    try:
        data = iso9660.build_image(contents, label)
    except iso9660.Iso9660Error as error:
        raise SpecError(f"spec.volumes[{name}]", str(error)) from error
    path = context.disks / f"{name}.iso"
    files.write_once(path, data)
    return probe.look_at(path)  # not read-only: a SATA disk cannot be, and what a guest writes is gone with the run


async def _cloud_init(context: Context, name: str, source: Object, kind: str) -> Image:
    metadata = context.vmi["metadata"]
    identity = cloudinit.Identity(
        metadata["name"],
        metadata["namespace"],
        context.spec.get("hostname") or metadata["name"],
        firmware_uuid(context.vmi),
        _instance_type(metadata.get("annotations") or {}),
    )
    secrets = cloudinit.Secrets(
        await _named_secret(context, source.get("secretRef")),
        await _named_secret(context, source.get("networkDataSecretRef")),
        await _ssh_keys(context, "noCloud" if kind == "cloudInitNoCloud" else "configDrive"),
    )
    label, contents = cloudinit.build_files(kind, source, identity, secrets)
    return _iso(context, name, label, contents)


def _instance_type(annotations: Mapping[str, str]) -> str:
    names = (f"kubevirt.io/{prefix}instancetype-name" for prefix in ("", "cluster-"))
    return next((annotations[name] for name in names if name in annotations), "")


async def _cloud_init_no_cloud(context: Context, name: str, source: Object) -> Image:
    return await _cloud_init(context, name, source, "cloudInitNoCloud")


async def _cloud_init_config_drive(context: Context, name: str, source: Object) -> Image:
    return await _cloud_init(context, name, source, "cloudInitConfigDrive")


async def _named_secret(context: Context, reference: Object | None) -> dict[str, bytes]:
    return await context.sources.secret(reference["name"]) if reference else {}


async def _ssh_keys(context: Context, method: str) -> Sequence[str]:
    keys: list[str] = []
    for credential in context.spec.get("accessCredentials") or []:
        public = credential.get("sshPublicKey") or {}
        if method in (public.get("propagationMethod") or {}):
            secret = await context.sources.secret(public["source"]["secret"]["secretName"])
            keys += [
                line
                for value in secret.values()
                for line in value.decode(errors="replace").splitlines()
                if line.strip()
            ]
    return keys


def _label(source: Object, default: str) -> str:
    return (str(source.get("volumeLabel") or "") or default)[:16]


async def _config_map(context: Context, name: str, source: Object) -> Image:
    contents = await context.sources.configmap(source["name"], optional=bool(source.get("optional")))
    return _iso(context, name, _label(source, "cfgdata"), contents)


async def _secret(context: Context, name: str, source: Object) -> Image:
    contents = await context.sources.secret(source["secretName"], optional=bool(source.get("optional")))
    return _iso(context, name, _label(source, "cfgdata"), contents)


async def _service_account(context: Context, name: str, source: Object) -> Image:
    return _iso(context, name, "cfgdata", await context.sources.token(source["serviceAccountName"]))


async def _downward_api(context: Context, name: str, source: Object) -> Image:
    return _iso(context, name, _label(source, "cfgdata"), downward.build_files(context.vmi, source))


async def _sysprep(context: Context, name: str, source: Object) -> Image:
    if reference := source.get("configMap"):
        contents = await context.sources.configmap(reference["name"])
    elif reference := source.get("secret"):
        contents = await context.sources.secret(reference["name"])
    else:
        raise SpecError(f"spec.volumes[{name}].sysprep", "names neither a configMap nor a secret")
    # Windows' set-up looks for these names, whatever the case of the keys.
    names = {"autounattend.xml": "Autounattend.xml", "unattend.xml": "Unattend.xml"}
    return _iso(context, name, "unattendCD", {names.get(key.lower(), key): value for key, value in contents.items()})


RESOLVERS: dict[str, Resolve] = {
    "containerDisk": _container_disk,
    "persistentVolumeClaim": _persistent_volume_claim,
    "dataVolume": _data_volume,
    "ephemeral": _ephemeral,
    "emptyDisk": _empty_disk,
    "hostDisk": _host_disk,
    "cloudInitNoCloud": _cloud_init_no_cloud,
    "cloudInitConfigDrive": _cloud_init_config_drive,
    "configMap": _config_map,
    "secret": _secret,
    "serviceAccount": _service_account,
    "downwardAPI": _downward_api,
    "sysprep": _sysprep,
}


async def resolve_kernel_boot(context: Context) -> KernelBoot | None:
    """The kernel that the VMI boots, out of its container image; None if it boots from its disks."""
    boot = (context.spec["domain"].get("firmware") or {}).get("kernelBoot") or {}
    container = boot.get("container")
    if not container:
        return None
    if not container.get("kernelPath"):
        raise SpecError("spec.domain.firmware.kernelBoot.container.kernelPath", "is empty")
    policy, secret = container.get("imagePullPolicy") or "", container.get("imagePullSecret") or ""
    ref = await _pull(context, container["image"], policy, secret)
    held = {
        part: files.hold(await context.images.file(ref, container[field]), context.directory / "boot" / part)
        for part, field in (("kernel", "kernelPath"), ("initrd", "initrdPath"))
        if container.get(field)
    }
    return KernelBoot(held["kernel"], held.get("initrd"), str(boot.get("kernelArgs") or ""))


__all__ = ["Context", "ImageStore", "NotReadyError", "resolve_kernel_boot", "resolve_volumes"]
