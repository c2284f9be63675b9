"""`isthmus import`: makes a VirtualMachineImport and follows it. The work is done by the platform."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import click

from isthmus.cli import connection
from isthmus.client import resources
from isthmus.client.rest import RestClient
from isthmus.importer.map import names
from isthmus.machinery.errors import StatusError

Object = dict[str, Any]
FINAL = ("Succeeded", "Failed")
POLL = 0.5
SPINNER = "|/-\\"
CONVERTERS = ("Auto", "Isthmus", "VirtV2V", "None")


@click.command(name="import")
@click.argument("source")
@click.option("--name", help="The new VM's name; by default the source's own.")
@click.option("--machine", help="Which machine, if the source holds several.")
@click.option(
    "--network", "networks", multiple=True, metavar="SOURCE=TARGET",
    help="Attach a network of the source to `pod`, to a NetworkAttachmentDefinition, or to nothing (SOURCE=). Repeat.",
)  # fmt: skip
@click.option("--storage-class", help="Of the disks; by default the cluster's default.")
@click.option("--converter", type=click.Choice(CONVERTERS), default="Auto", show_default=True)
@click.option("--prove/--no-prove", default=True, show_default=True, help="Boot it on an isolated network and judge.")
@click.option("--start", is_flag=True, help="Start the VM once it is here.")
@click.option("--detach", is_flag=True, help="Do not follow: print the import's name and return.")
@connection.options
def import_(
    source: str,
    name: str | None,
    machine: str | None,
    networks: tuple[str, ...],
    storage_class: str | None,
    converter: str,
    prove: bool,
    start: bool,
    detach: bool,
    kubeconfig: Path | None,
    context: str,
    namespace: str | None,
) -> None:
    """Import SOURCE: an OVA, OVF or VMDK, by path or http(s) URL."""
    spec: Object = {
        "source": _source(source) | ({"machine": machine} if machine else {}),
        "networks": [_network(text) for text in networks],
        "converter": converter,
        "prove": prove,
        "running": start,
    }
    spec |= {key: value for key, value in (("targetName", name), ("storageClassName", storage_class)) if value}

    async def work(client: RestClient, where: str) -> bool:
        manifest = {
            "apiVersion": "isthmus.dev/v1alpha1",
            "kind": "VirtualMachineImport",
            "metadata": {"generateName": names.to_label(name or Path(source).stem) + "-"},
            "spec": spec,
        }
        made = await client.create(resources.IMPORTS, manifest, where)
        click.echo(f"virtualmachineimport.isthmus.dev/{made['metadata']['name']} created")
        return True if detach else await _follow(client, where, made["metadata"]["name"])

    if not connection.run(work, kubeconfig, context, namespace):
        raise click.exceptions.Exit(1)


def _source(text: str) -> Object:
    if text.startswith(("http://", "https://")):
        return {"url": text}
    path = Path(text).expanduser()
    if not path.exists():
        raise click.ClickException(f"{text} is not there: give the path of an OVA, OVF or VMDK, or an http(s) URL")
    return {"path": str(path.resolve())}


def _network(text: str) -> Object:
    source, equals, target = text.partition("=")
    if not equals or not source:
        raise click.ClickException(f"--network {text!r}: expected SOURCE=TARGET, e.g. 'VM Network=default/lan'")
    if target == "pod":
        return {"source": source, "target": {"pod": {}}}
    return {"source": source, "target": {"multus": {"networkName": target}} if target else {}}


async def _follow(client: RestClient, namespace: str, name: str) -> bool:
    """Show phases as they come and end; whether it succeeded."""
    line = Line()
    shown: set[str] = set()
    while True:
        try:
            obj = await client.get(resources.IMPORTS, name, namespace)
        except StatusError as error:
            if error.code == 404:
                raise click.ClickException(f"the import {name} was deleted") from error
            if error.code != 503:
                raise
            await asyncio.sleep(POLL)
            continue
        status = obj.get("status") or {}
        for timing in status.get("timings") or []:
            if "seconds" in timing and timing["phase"] not in shown:
                shown.add(timing["phase"])
                line.settle(f"  {timing['phase']:<14} {timing['seconds']:6.1f} s  {summary(timing['phase'], status)}")
        if status.get("phase") in FINAL:
            line.clear()
            return _conclude(status, namespace)
        line.show(f"  {status.get('phase') or 'Pending':<14} {describe_progress(status)}")
        await asyncio.sleep(POLL)


def describe_progress(status: Object) -> str:
    """`42 %  120 of 300 MB  85 MB/s  3 s left`, as far as it is known."""
    progress = status.get("progress") or {}
    if not progress.get("totalBytes"):
        return str(status.get("message") or "")
    done, total = progress.get("bytes", 0) / 1e6, progress["totalBytes"] / 1e6
    parts = [f"{progress.get('percent', 0):3d} %", f"{done:.0f} of {total:.0f} MB"]
    if rate := progress.get("bytesPerSecond"):
        parts.append(f"{rate / 1e6:.0f} MB/s")
    if progress.get("etaSeconds") is not None:
        parts.append(f"{progress['etaSeconds']} s left")
    return "  ".join(parts)


def summary(phase: str, status: Object) -> str:
    """What a finished phase found or did, in a few words."""
    source, proof, conversion = (status.get(k) or {} for k in ("source", "proof", "conversion"))
    match phase:
        case "Inspecting":
            return f"{source.get('name')}: {source.get('guestOS')}, {source.get('cpus')} CPU, {source.get('memory')}"
        case "Transferring":
            disks = (status.get("transfer") or {}).get("disks") or []
            written = sum(int(d.get("writtenBytes") or 0) for d in disks)
            checked = ", checksums agree" if disks and all(d.get("verified") for d in disks) else ""
            return f"{len(disks)} disk{'s' * (len(disks) != 1)}, {written / 1e6:.0f} MB of data{checked}"
        case "Converting":
            changes = len(conversion.get("changes") or [])
            return f"{conversion.get('os') or conversion.get('converter', '')}: {changes} changes"
        case "Proving":
            passed = [c["name"] for c in proof.get("checks") or [] if c.get("passed")]
            return f"{proof.get('verdict', '')}" + (f": {', '.join(passed)}" if passed else "")
    return ""


def _conclude(status: Object, namespace: str) -> bool:
    if status["phase"] == "Failed":
        click.echo(f"Failed: {status.get('message')}", err=True)
        return False
    vm = status["virtualMachineName"]
    for warning in (status.get("conversion") or {}).get("warnings") or []:
        click.echo(f"  note: {warning}")
    click.echo(f"virtualmachine.kubevirt.io/{vm} is here (namespace {namespace})")
    return True


class Line:
    """One line that is written over again on a terminal, and left out where there is none."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """The line as it is now."""
        if self._live:
            turn = SPINNER[int(time.monotonic() * 4) % len(SPINNER)]
            sys.stderr.write(f"\r\033[K{turn}{text}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take it away."""
        if self._live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def settle(self, text: str) -> None:
        """Replace it by a line that stays."""
        self.clear()
        click.echo(text)
