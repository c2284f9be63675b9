"""Judge a boot by its console: firmware, kernel, root on virtio, login prompt, addresses as planned. Pure.

The importer's controller feeds it the console text so far (the log of `guest-console-log`), what the plan promised and
what the guest agent says if there is one; it returns a verdict with the evidence for each check, fit for the status.
Texts looked for are those of SeaBIOS, OVMF, GRUB, Linux, systemd, initramfs-tools and dracut, and the lines that our
first-boot service writes (appliance/guest/first-boot): every few seconds what the guest is, by its own clock.

What was not seen may still follow from what was: a guest that asks for a login has found its disk. Such a check passes
with `inferred` set, and its evidence says from what.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from isthmus.importer.convert import events
from isthmus.importer.prove import texts

DEADLINE_SECONDS = 300.0
SETTLE_SECONDS = 30.0  # from the guest's first word: addresses come up while it already speaks
_CONSOLE_KEPT = 1 << 20
_EVIDENCE_KEPT = 160


class Outcome(StrEnum):
    """A check's or the whole proof's state."""

    PASSED = "passed"
    FAILED = "failed"
    RUNNING = "running"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Plan:
    """What must be found.

    `addresses`: interface -> static addresses ("192.0.2.7" or with /prefix); an address by DHCP is not planned, as the
    isolated network has no server. `virtio`: every disk that the machine could boot from is on virtio (see
    proof.boots_from_virtio); false for compatibility mode. `kernel` is empty when not known. `speaks`: the guest was
    given our first-boot service or has an agent; who has neither is not waited for to say its addresses.
    """

    addresses: Mapping[str, Sequence[str]] = field(default_factory=dict)
    kernel: str = ""
    virtio: bool = True
    speaks: bool = True


@dataclass(frozen=True, slots=True)
class Agent:
    """What the guest agent told, as the VMI's status has it: interface name -> addresses, kernel release."""

    connected: bool = False
    kernel: str = ""
    addresses: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: its outcome and the words that it rests on; `inferred` if those only imply it."""

    name: str
    outcome: Outcome
    evidence: str
    inferred: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole: `reason` says in words why it failed, or what is still awaited."""

    outcome: Outcome
    checks: tuple[Check, ...]
    reason: str
    seconds: float


def judge(console: str, plan: Plan, seconds: float, agent: Agent | None = None, *, ended: bool = False) -> Verdict:
    """The verdict after `seconds` of booting; final unless its outcome is RUNNING. `ended`: the machine has stopped."""
    text = texts.plain(console[-_CONSOLE_KEPT:])
    told, settled = _own_words(text)
    agent = agent or Agent()
    checks = (
        _firmware(text),
        _kernel(text, plan, told, agent),
        _root(text, plan, told, agent),
        _up(text, told, agent),
        _addresses(text, plan, told, agent),
        _units(told),
    )
    return _conclude(checks, text, seconds, settled=settled, ended=ended)


def _conclude(checks: tuple[Check, ...], text: str, seconds: float, *, settled: bool, ended: bool) -> Verdict:
    up = next(check for check in checks if check.name == "up").outcome is Outcome.PASSED
    refused = next((check for check in checks if check.outcome is Outcome.FAILED), None)
    waiting = [check for check in checks if check.outcome is Outcome.RUNNING]
    fatal = texts.find_failure(text)
    if fatal and not up:
        return Verdict(Outcome.FAILED, checks, fatal.reason, seconds)
    if refused and (refused.name != "addresses" or settled or ended or seconds >= DEADLINE_SECONDS):
        return Verdict(Outcome.FAILED, checks, f"{refused.name}: {refused.evidence}", seconds)
    if not waiting and not refused:
        return Verdict(Outcome.PASSED, checks, "", seconds)
    awaited = ", ".join(check.name for check in waiting) or "addresses"
    if ended:
        return Verdict(Outcome.FAILED, checks, f"the machine stopped before it was seen: {awaited}", seconds)
    if seconds >= DEADLINE_SECONDS:
        return Verdict(Outcome.FAILED, checks, f"not seen within {DEADLINE_SECONDS:g} s: {awaited}", seconds)
    return Verdict(Outcome.RUNNING, checks, f"waiting for {awaited}", seconds)


def _own_words(text: str) -> tuple[dict[str, Any], bool]:
    """The last line of the guest's own first-boot report (empty if none), and whether it has spoken long enough."""
    told = [event for event in events.find_events(text.splitlines()) if event.get("isthmus") == "booted"]
    if not told:
        return {}, False
    first, last = (_number(event.get("seconds")) for event in (told[0], told[-1]))
    return told[-1], last - first >= SETTLE_SECONDS


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _firmware(text: str) -> Check:
    """A silent firmware has found the disk if anything of what the disk holds is seen."""
    if found := _search(texts.FIRMWARE, text):
        return _passed("firmware", found)
    if found := _search((*texts.BOOT_LOADER, *texts.KERNEL, texts.LOGIN), text):
        return _inferred("firmware", found)
    return _waiting("firmware")


def _kernel(text: str, plan: Plan, told: dict[str, Any], agent: Agent) -> Check:
    release = str(told.get("kernel") or agent.kernel)
    if release:
        same = not plan.kernel or release == plan.kernel
        return _passed("kernel", release) if same else _failed("kernel", f"{release} runs, {plan.kernel} was converted")
    if found := _search(texts.KERNEL, text):
        return _passed("kernel", found)
    if found := _search((texts.LOGIN,), text):
        return _inferred("kernel", found)
    return _waiting("kernel")


def _root(text: str, plan: Plan, told: dict[str, Any], agent: Agent) -> Check:
    """On virtio by the guest's own words or the kernel's messages; where all disks are, being up at all implies it."""
    if not plan.virtio:
        return Check("root", Outcome.SKIPPED, "not all disks are on virtio (compatibility mode)")
    if disks := _strings(told.get("disks")):
        evidence = f"{told.get('root', '')} on {', '.join(disks)}"
        return _passed("root", evidence) if all("virtio" in disk for disk in disks) else _failed("root", evidence)
    if found := _search(texts.VIRTIO_ROOT, text):
        return _passed("root", found)
    up = _up(text, told, agent)
    if up.outcome is Outcome.PASSED:
        return _inferred("root", f"{up.evidence}; the machine has virtio disks only")
    return _waiting("root")


def _search(patterns: Sequence[re.Pattern[str]], text: str) -> str:
    return next((found.group(0) for pattern in patterns if (found := pattern.search(text))), "")


def _up(text: str, told: dict[str, Any], agent: Agent) -> Check:
    if agent.connected:
        return _passed("up", "the guest agent answers")
    if told:
        return _passed("up", "the guest says that it has booted")
    found = texts.LOGIN.search(text)
    if found is None:
        return _waiting("up")
    return _passed("up", found.group(0))


def _addresses(text: str, plan: Plan, told: dict[str, Any], agent: Agent) -> Check:
    if not plan.addresses:
        return Check("addresses", Outcome.SKIPPED, "no static address is planned")
    have = {name: list(addresses) for name, addresses in agent.addresses.items()}
    for pair in _strings(told.get("addresses")):
        name, _, address = pair.partition("=")
        have.setdefault(name, []).append(address)
    if not told and not agent.connected:
        if not plan.speaks and _up(text, told, agent).outcome is Outcome.PASSED:
            return Check(
                "addresses", Outcome.SKIPPED, "nothing in the guest could tell them: no agent, no first-boot service"
            )
        return _waiting("addresses")
    missing = [
        f"{address} on {name}"
        for name, addresses in plan.addresses.items()
        for address in addresses
        if not any(_same(address, other) for other in have.get(name, ()))
    ]
    seen = ", ".join(f"{name}={address}" for name in sorted(have) for address in have[name]) or "none"
    if missing:
        return _failed("addresses", f"{', '.join(missing)} missing; the guest has {seen}")
    return _passed("addresses", seen)


def _same(planned: str, found: str) -> bool:
    """Prefixes count where both have one."""
    if "/" in planned and "/" in found:
        return planned == found
    return planned.split("/")[0] == found.split("/")[0]


def _units(told: dict[str, Any]) -> Check:
    """Failed systemd units are told, not judged: they may well have failed on the old machine too."""
    if not told:
        return Check("units", Outcome.SKIPPED, "the guest did not say")
    failed = _strings(told.get("failedUnits"))
    return Check("units", Outcome.PASSED, f"failed: {', '.join(failed)}"[:_EVIDENCE_KEPT] if failed else "none failed")


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _passed(name: str, evidence: str) -> Check:
    return Check(name, Outcome.PASSED, _words(evidence))


def _inferred(name: str, evidence: str) -> Check:
    return Check(name, Outcome.PASSED, _words(f"inferred from: {evidence}"), inferred=True)


def _failed(name: str, evidence: str) -> Check:
    return Check(name, Outcome.FAILED, _words(evidence))


def _waiting(name: str) -> Check:
    return Check(name, Outcome.RUNNING, "not seen yet")


def _words(evidence: str) -> str:
    return re.sub(r"\s+", " ", evidence).strip()[:_EVIDENCE_KEPT]
