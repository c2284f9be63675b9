"""Proving: the converted machine boots on a copy-on-write overlay in an isolated network, and is judged.

The verdict with its evidence stands in the status before the import goes on: the end of the console, what each check
rests on, and a picture of the screen (a ConfigMap of the import's own). A machine that does not boot ends the import.
"""

import base64
from typing import Any

from isthmus.client import resources
from isthmus.importer.map import names
from isthmus.importer.phases import creating, launcher
from isthmus.importer.phases.phase import Import, ImportFailedError
from isthmus.importer.prove import judge, proof
from isthmus.importer.prove.judge import Outcome, Verdict
from isthmus.machinery.errors import StatusError

Object = dict[str, Any]
CONSOLE_KEPT = 4000  # characters of the console's end
SCREENSHOT = "/apis/subresources.kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances/{name}/vnc/screenshot"
LONGEST_SCREENSHOT = 512 * 1024


async def step(work: Import) -> bool:
    """Boot, watch, judge; when judged, take everything away again."""
    if work.spec.get("prove") is False:
        await work.patch_status({"proof": {"verdict": "Skipped"}})
        return True
    name = names.to_label(f"{work.name}-prove")
    vmi = await _ensure_running(work, name)
    phase = str((vmi.get("status") or {}).get("phase") or "")
    if phase not in ("Running", "Succeeded", "Failed"):
        launcher.check(vmi)
        return False
    console = await launcher.console(work, vmi)
    verdict = judge.judge(console, _plan(work), work.seconds_in_phase(), ended=phase != "Running")
    if verdict.outcome is Outcome.RUNNING:
        await _tell(work, verdict)
        return False
    picture = await _keep_screenshot(work, name) if phase == "Running" else ""
    await work.patch_status({"proof": _evidence(verdict, console, picture)})
    await work.delete(resources.VMIS, name)
    await work.delete(resources.NADS, name)
    if verdict.outcome is Outcome.FAILED:
        raise ImportFailedError(f"the converted machine does not boot: {verdict.reason}; see status.proof")
    return True


async def _ensure_running(work: Import, name: str) -> Object:
    spec = creating.manifest(work)["spec"]["template"]["spec"]
    await work.ensure(resources.NADS, proof.proof_network(name, work.namespace))
    return await work.ensure(resources.VMIS, proof.proof_vmi(name, work.namespace, spec, name))


def _plan(work: Import) -> judge.Plan:
    conversion = work.status.get("conversion") or {}
    return judge.Plan(kernel=str(conversion.get("kernel") or ""), virtio=creating.disk_bus(work) == "virtio")


async def _tell(work: Import, verdict: Verdict) -> None:
    message = f"Booting on an isolated network: {verdict.reason}"
    if work.status.get("message") != message:
        await work.patch_status({"message": message})


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


def _evidence(verdict: Verdict, console: str, picture: str) -> Object:
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
        "verdict": verdict.outcome.value.capitalize(),
        "seconds": round(verdict.seconds, 1),
        "console": console[-CONSOLE_KEPT:],
        "checks": checks,
    }
    return found | ({"screenshot": picture} if picture else {})
