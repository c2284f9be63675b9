"""Follow a VirtualMachineImport: its phases as they end, how far the one at hand is, and what came of it."""

import asyncio
from typing import Any

import click

from isthmus.cli import progress
from isthmus.client import resources
from isthmus.client.rest import RestClient
from isthmus.machinery.errors import StatusError

Object = dict[str, Any]
FINAL = ("Succeeded", "Failed")
POLL = 0.5
PATIENCE = 60.0  # seconds that the API may be away


async def read(client: RestClient, namespace: str, name: str) -> Object:
    """The import's status. Waits while the API restarts. Raises ClickException if it was deleted."""
    waited = 0.0
    while True:
        try:
            obj = await client.get(resources.IMPORTS, name, namespace)
        except StatusError as error:
            if error.code == 404:
                raise click.ClickException(f"the import {name} was deleted") from error
            if error.code != 503 or waited > PATIENCE:
                raise
            waited += POLL
            await asyncio.sleep(POLL)
            continue
        status: Object = obj.get("status") or {}
        return status


async def wait_upload(client: RestClient, namespace: str, name: str) -> str:
    """The claim that takes the import's upload, once there is one. Raises ClickException if the import has ended."""
    status = await read(client, namespace, name)
    while not (claim := str(status.get("uploadClaimName") or "")):
        if status.get("phase") in FINAL:
            raise click.ClickException(f"the import ended before the upload: {status.get('message')}")
        await asyncio.sleep(POLL)
        status = await read(client, namespace, name)
    return claim


async def follow(client: RestClient, namespace: str, name: str) -> bool:
    """Until it ends; whether it succeeded."""
    line = progress.Line()
    shown = 0
    while True:
        status = await read(client, namespace, name)
        timings = [t for t in status.get("timings") or [] if "seconds" in t]
        failed = status.get("phase") == "Failed"
        for number, timing in enumerate(timings[shown:], shown + 1):
            last = failed and number == len(timings)
            text = "failed" if last else summarise(timing["phase"], status)
            line.settle(f"  {timing['phase']:<14} {timing['seconds']:7.1f} s  {text}")
            for note in notes(timing["phase"], status):
                line.settle(f"  {'':<14} {note}")
        shown = max(shown, len(timings))
        if status.get("phase") in FINAL:
            line.clear()
            return _conclude(status, namespace, name)
        line.show(f"{status.get('phase') or 'Pending':<12}  {describe(status)}")
        await asyncio.sleep(POLL)


def describe(status: Object) -> str:
    """How far the phase at hand is."""
    told = status.get("progress") or {}
    if not told.get("totalBytes"):
        return str(status.get("message") or "")
    return progress.describe(
        told.get("bytes") or 0, told["totalBytes"], told.get("bytesPerSecond") or 0, told.get("etaSeconds")
    )


def summarise(phase: str, status: Object) -> str:
    """What a finished phase found or did, in a few words."""
    source, proof, conversion = (status.get(k) or {} for k in ("source", "proof", "conversion"))
    match phase:
        case "Inspecting":
            guest = source.get("guestOS") or "unknown guest"
            return f"{source.get('name')}: {guest}, {source.get('cpus')} CPU, {source.get('memory')}"
        case "Transferring":
            return _transferred((status.get("transfer") or {}).get("disks") or [])
        case "Converting":
            return _converted(conversion)
        case "Proving":
            passed = [c["name"] for c in proof.get("checks") or [] if c.get("passed")]
            return f"{proof.get('verdict', '')}" + (f": {', '.join(passed)}" if passed else "")
    return ""


def notes(phase: str, status: Object) -> list[str]:
    """What a person should look at after a phase: before the disks are moved, everything that the source made known."""
    match phase:
        case "Inspecting":
            concerns = (status.get("source") or {}).get("concerns") or []
            return [f"{c['category']}: {c['label']}. {c['assessment']}" for c in concerns]
        case "Converting":
            return [f"Note: {warning}" for warning in (status.get("conversion") or {}).get("warnings") or []]
    return []


def _transferred(disks: list[Object]) -> str:
    written = sum(int(d.get("writtenBytes") or 0) for d in disks)
    checked = ", checksums agree" if disks and all(d.get("verified") for d in disks) else ""
    resumed = max((int(d.get("resumedAt") or 0) for d in disks), default=0)
    again = f", taken up at {progress.size(resumed)}" if resumed else ""
    return f"{len(disks)} disk{'s' * (len(disks) != 1)}, {progress.size(written)} of data{checked}{again}"


def _converted(conversion: Object) -> str:
    converter, changes = conversion.get("converter", ""), conversion.get("changes") or []
    if converter == "Compatibility":
        return "compatibility mode: SATA disks, e1000e cards"
    if converter == "None":
        return "left as it is"
    return f"{conversion.get('os') or 'guest'} by {converter}: {len(changes)} change{'s' * (len(changes) != 1)}"


def _conclude(status: Object, namespace: str, name: str) -> bool:
    if status["phase"] == "Failed":
        click.echo(f"Failed: {status.get('message')}", err=True)
        click.echo(f"  all about it: kubectl describe vmimport {name} -n {namespace}", err=True)
        return False
    click.echo(f"virtualmachine.kubevirt.io/{status['virtualMachineName']} is here (namespace {namespace})")
    return True
