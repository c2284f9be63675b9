"""`isthmus import`: makes a VirtualMachineImport and follows it. The work is done by the platform."""

import asyncio
from pathlib import Path
from typing import Any

import click

from isthmus.cli import connection, following, progress, uploads, whereabouts
from isthmus.client import resources
from isthmus.client.rest import RestClient
from isthmus.importer.map import names

Object = dict[str, Any]
CONVERTERS = ("Auto", "Isthmus", "VirtV2V", "None")
INTERRUPTED = 130


@click.command(name="import", short_help="Import a virtual machine from an OVA, OVF or VMDK.")
@click.argument("source")
@click.option("--name", help="The new VM's name; by default the source's own.")
@click.option("--machine", help="Which machine, if the source holds several.")
@click.option(
    "--network", "networks", multiple=True, metavar="SOURCE=TARGET",
    help="Attach a network of the source to `pod`, to a NetworkAttachmentDefinition, or to nothing (SOURCE=). Repeat.",
)  # fmt: skip
@click.option("--storage-class", help="Of the disks; by default the cluster's default.")
@click.option("--disk-bus", type=click.Choice(["virtio", "sata", "scsi"]), help="By default what the guest can drive.")
@click.option("--converter", type=click.Choice(CONVERTERS), default="Auto", show_default=True)
@click.option("--prove/--no-prove", default=True, show_default=True, help="Boot it on an isolated network and judge.")
@click.option("--start", is_flag=True, help="Start the VM once it is here.")
@click.option("--upload", is_flag=True, help="Send the file, even if the platform could read it by itself.")
@click.option("--checksum", metavar="ALGORITHM:HEX", help="What the file must hash to, e.g. sha256:...")
@click.option("--secret", help="For a URL: a Secret with accessKeyId (user) and secretKey (password).")
@click.option("--ca", metavar="CONFIGMAP", help="For a URL: a ConfigMap with certificates to trust its server by.")
@click.option("--detach", is_flag=True, help="Do not follow: print the import's name and return.")
@connection.options
def import_(
    source: str,
    networks: tuple[str, ...],
    upload: bool,
    detach: bool,
    kubeconfig: Path | None,
    context: str,
    namespace: str | None,
    **options: Any,
) -> None:
    """Import the virtual machine in SOURCE: an OVA, an OVF (or its folder) or a VMDK, by path or http(s) URL.

    The disks are copied into volumes, the guest is made fit for virtio, booted once on an isolated network to prove
    that it runs, and becomes a VirtualMachine. SOURCE is only read. Ctrl-C stops watching, not the import.

    \b
    isthmus import legacy.ova --name legacy --network "VM Network=default/lan" --start
    isthmus import https://images.example/erp.ova --secret erp-download --checksum sha256:9f86...

    Exit code: 0 if the VM is here, 1 if the import failed, 2 if it could not begin.
    """
    path = None if "://" in source else _find(source)
    spec = build_spec(networks, **options)
    label = options["name"] or (path or Path(source)).stem

    async def work(client: RestClient, where: str) -> int:
        payload, spec["source"] = await _choose(client, where, source, path, kubeconfig, spec["source"], force=upload)
        made = await client.create(resources.IMPORTS, build_import(label, spec), where)
        name = str(made["metadata"]["name"])
        click.echo(f"virtualmachineimport.isthmus.dev/{name} created")
        if payload:
            await _upload(client, where, name, payload)
        if detach:
            return 0
        try:
            return 0 if await following.follow(client, where, name) else 1
        except asyncio.CancelledError:
            _explain(name, where)
            raise

    try:
        code = connection.run(work, kubeconfig, context, namespace)
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise click.exceptions.Exit(code)


def build_import(label: str, spec: Object) -> Object:
    """The object; the server completes its name."""
    return {
        "apiVersion": "isthmus.dev/v1alpha1",
        "kind": "VirtualMachineImport",
        "metadata": {"generateName": names.to_label(label, longest=50) + "-"},
        "spec": spec,
    }


def build_spec(
    networks: tuple[str, ...],
    *,
    name: str | None,
    machine: str | None,
    storage_class: str | None,
    disk_bus: str | None,
    converter: str,
    prove: bool,
    start: bool,
    checksum: str | None,
    secret: str | None,
    ca: str | None,
) -> Object:
    """The spec by the command's options; where the source is is still missing."""
    source = {"machine": machine, "checksum": checksum, "secretRef": secret, "certConfigMap": ca}
    spec: Object = {
        "source": {key: value for key, value in source.items() if value},
        "networks": [parse_network(text) for text in networks],
        "converter": converter,
        "prove": prove,
        "running": start,
    }
    given = {"targetName": name, "storageClassName": storage_class, "diskBus": disk_bus}
    return spec | {key: value for key, value in given.items() if value}


def _find(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.exists():
        raise click.ClickException(f"{text} is not there: give the path of an OVA, OVF or VMDK, or an http(s) URL")
    return path.resolve()


def parse_network(text: str) -> Object:
    """SOURCE=TARGET as an entry of spec.networks. Raises ClickException."""
    source, equals, target = text.partition("=")
    if not equals or not source:
        raise click.ClickException(f"--network {text!r}: expected SOURCE=TARGET, e.g. 'VM Network=default/lan'")
    if target == "pod":
        return {"source": source, "target": {"pod": {}}}
    return {"source": source, "target": {"multus": {"networkName": target}} if target else {}}


async def _choose(
    client: RestClient, namespace: str, text: str, path: Path | None, kubeconfig: Path | None, rest: Object, *,
    force: bool,
) -> tuple[uploads.Payload | None, Object]:  # fmt: skip
    """How the source gets to the platform: what is to be uploaded, if anything, and spec.source."""
    if path is None:
        return None, rest | {"url": text}
    obstacle = "" if force else await whereabouts.find_obstacle(client, namespace, path, kubeconfig)
    if not force and not obstacle:
        return None, rest | {"path": str(path)}
    if obstacle:
        click.echo(f"{obstacle}: the file is uploaded", err=True)
    payload = uploads.find_payload(path)
    return payload, rest | {"upload": {"size": payload.size, "fileName": payload.name}}


async def _upload(client: RestClient, namespace: str, name: str, payload: uploads.Payload) -> None:
    """Send the file. If that fails there is nothing to go on with: the import is deleted."""
    line, speed = progress.Line(), progress.Speed()
    try:
        claim = await following.wait_upload(client, namespace, name)

        def show(sent: int) -> None:
            rate = speed.update(sent)
            left = (payload.size - sent) / rate if rate else None
            line.show(f"{'Uploading':<12}  {progress.describe(sent, payload.size, rate, left)}")

        await uploads.upload(client, namespace, claim, payload, show)
    except BaseException:
        line.clear()
        click.echo(f"virtualmachineimport.isthmus.dev/{name} deleted, as its upload did not end", err=True)
        await asyncio.shield(client.delete(resources.IMPORTS, name, namespace))
        raise
    line.clear()


def _explain(name: str, namespace: str) -> None:
    click.echo(
        f"\nThe import goes on without you. To see how far it is, and to cancel it:\n"
        f"  kubectl get vmimport {name} -n {namespace} -w\n"
        f"  kubectl delete vmimport {name} -n {namespace}",
        err=True,
    )
