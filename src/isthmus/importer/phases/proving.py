"""Proving: the converted machine boots on a copy-on-write overlay in an isolated network, and is judged.

The verdict with its evidence stands in the status before the import goes on: the end of the console, what each check
rests on, and a picture of the screen (a ConfigMap of the import's own). A machine that does not boot ends the import.
One that only keeps silent, as a guest may that says nothing on a serial port, is told to be inconclusive.
"""

import base64
import time
from typing import Any

from isthmus.client import resources
from isthmus.importer.convert.decide import Converter
from isthmus.importer.map import preferences
from isthmus.importer.phases import creating, launcher
from isthmus.importer.phases.phase import Import, ImportFailedError, Next
from isthmus.importer.prove import judge, proof, texts
from isthmus.importer.prove.judge import Outcome, Verdict
from isthmus.lib import clock
from isthmus.machinery import conditions
from isthmus.machinery.errors import StatusError

Object = dict[str, Any]
CONSOLE_KEPT = 4000  # characters of the console's end
SCREENSHOT = "/apis/subresources.kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances/{name}/vnc/screenshot"
LONGEST_SCREENSHOT = 512 * 1024
INCONCLUSIVE = "Inconclusive"


async def step(work: Import) -> Next:
    """Boot, watch, judge; when judged, take everything away again."""
    if work.spec.get("prove") is False:
        await work.patch_status({"proof": {"verdict": "Skipped"}})
        return Next.ONWARD
    name = work.child("prove")
    vmi = await _ensure_running(work, name)
    phase = str((vmi.get("status") or {}).get("phase") or "")
    if phase not in ("Running", "Succeeded", "Failed"):
        await launcher.check(work, vmi)
        return Next.STAY
    console = await launcher.console(work, vmi)
    verdict = judge.judge(
        console, find_plan(work, vmi), seconds_running(vmi, work), find_agent(vmi), ended=phase != "Running"
    )
    if verdict.outcome is Outcome.RUNNING:
        await work.tell(f"Booting on an isolated network: {verdict.reason}")
        return Next.STAY
    picture = await _keep_screenshot(work, name) if phase == "Running" else ""
    shown = name_verdict(work, verdict, console, alive=phase == "Running")
    await work.patch_status({"proof": build_evidence(shown, verdict, console, picture)})
    await work.delete(resources.VMIS, name)
    await work.delete(resources.NADS, name)
    return await _conclude(work, shown, verdict)


async def _conclude(work: Import, shown: str, verdict: Verdict) -> Next:
    if shown == "Failed":
        raise ImportFailedError(f"the converted machine does not boot: {verdict.reason}; see status.proof")
    if shown == INCONCLUSIVE:
        await work.warn("ProofInconclusive", f"it runs, but nothing shows that it has booted: {verdict.reason}")
    return Next.ONWARD


async def _ensure_running(work: Import, name: str) -> Object:
    known = await creating.find_preferences(work)
    spec = preferences.fold(creating.manifest(work, known), known)["spec"]["template"]["spec"]
    await work.ensure(resources.NADS, proof.proof_network(name, work.namespace))
    return await work.ensure(resources.VMIS, proof.proof_vmi(name, work.namespace, spec, name))


def find_plan(work: Import, vmi: Object) -> judge.Plan:
    """What must be found, by what the conversion reported."""
    conversion = work.status.get("conversion") or {}
    return judge.Plan(
        addresses=conversion.get("addresses") or {},
        kernel=str(conversion.get("kernel") or ""),
        virtio=proof.boots_from_virtio(vmi["spec"]),
        speaks=_is_taught(work),
    )


def _is_taught(work: Import) -> bool:
    """Whether our converter has left its first-boot service in the guest."""
    return bool((work.status.get("conversion") or {}).get("converter") == Converter.ISTHMUS.value)


def find_agent(vmi: Object) -> judge.Agent:
    """What the guest agent has told, by the VMI's status."""
    if not conditions.is_true(vmi, "AgentConnected"):
        return judge.Agent()
    status = vmi["status"]
    addresses = {
        str(nic.get("interfaceName") or nic.get("name")): tuple(nic.get("ipAddresses") or ())
        for nic in status.get("interfaces") or []
    }
    kernel = str((status.get("guestOSInfo") or {}).get("kernelRelease") or "")
    return judge.Agent(connected=True, kernel=kernel, addresses=addresses)


def seconds_running(vmi: Object, work: Import) -> float:
    """Since the machine was started: what came before, waiting for a node, is not the guest's fault."""
    for entry in (vmi.get("status") or {}).get("phaseTransitionTimestamps") or []:
        if entry.get("phase") == "Running":
            return max(0.0, time.time() - clock.parse(entry["phaseTransitionTimestamp"]))
    return work.seconds_in_phase()


def name_verdict(work: Import, verdict: Verdict, console: str, *, alive: bool) -> str:
    """As the status has it. A guest that our converter taught to speak must speak; any other may keep silent."""
    if verdict.outcome is not Outcome.FAILED:
        return "Passed"
    refuted = any(check.outcome is Outcome.FAILED for check in verdict.checks)
    silent = alive and not refuted and not texts.find_failure(texts.plain(console))
    return INCONCLUSIVE if silent and not _is_taught(work) else "Failed"


async def _keep_screenshot(work: Import, name: str) -> str:
    """The name of the ConfigMap with the picture; "" if there is none."""
    try:
        picture = await work.client.call("GET", SCREENSHOT.format(namespace=work.namespace, name=name))
    except StatusError:
        return ""
    if len(picture) > LONGEST_SCREENSHOT:
        return ""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-screenshot"},
        "binaryData": {"screen.png": base64.b64encode(picture).decode()},
    }
    kept = await work.ensure(resources.CONFIGMAPS, manifest)
    return f"configmap/{kept['metadata']['name']}"


def build_evidence(shown: str, verdict: Verdict, console: str, picture: str) -> Object:
    """status.proof."""
    checks = [
        {
            "name": check.name,
            "passed": check.outcome is Outcome.PASSED,
            "required": check.outcome is not Outcome.SKIPPED,
            "message": check.evidence,
        }
        for check in verdict.checks
    ]
    found: Object = {
        "verdict": shown,
        "seconds": round(verdict.seconds, 1),
        "console": texts.plain(console)[-CONSOLE_KEPT:],
        "checks": checks,
    }
    return found | ({"screenshot": picture} if picture else {})
