"""Access credentials that the guest's agent brings into a running guest: SSH keys and passwords from Secrets.

Called by `vmi.guestcare` for machines whose agent answers. The Secrets are looked at again every LOOK_SECONDS, so a
changed key reaches the guest without a restart; the outcome becomes the condition AccessCredentialsSynchronized.
Source: KubeVirt 1.9, virt-launcher's access-credentials. Those that go by cloud-init are `disk.volumes`'s.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isthmus.client.api import Client
from isthmus.engine.node.disk.sources import NotReadyError, Sources
from isthmus.engine.node.guest.agent import GuestAgent, GuestAgentError
from isthmus.engine.node.vm.running import Running
from isthmus.lib.tasks import cancel_and_wait
from isthmus.machinery.errors import StatusError
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
LOOK_SECONDS = 15.0
PASSWD_FIELDS = 7
METHOD = "propagationMethod.qemuGuestAgent"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the guest shall have: the keys of each user (complete), and passwords."""

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    passwords: Mapping[str, bytes] = field(default_factory=dict)

    def digest(self) -> str:
        """The same for the same credentials; tells nothing of them."""
        return hashlib.sha256(repr((sorted(self.keys.items()), sorted(self.passwords.items()))).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last attempt; `error` is empty if it succeeded."""

    error: str = ""


def secret_names(vmi: Object) -> list[str]:
    """The Secrets whose contents go through the agent."""
    credentials = vmi["spec"].get("accessCredentials") or ()
    found = [
        entry for c in credentials for entry in c.values() if isinstance(entry, dict) and at(entry, METHOD) is not None
    ]
    return [name for entry in found if (name := at(entry, "source.secret.secretName"))]


def build_wanted(vmi: Object, secrets: Mapping[str, Mapping[str, bytes]]) -> Wanted:
    """Fold all credentials of the VMI: one user may have keys from several Secrets."""
    keys: dict[str, list[str]] = {}
    passwords: dict[str, bytes] = {}
    for credential in vmi["spec"].get("accessCredentials") or ():
        public, password = credential.get("sshPublicKey") or {}, credential.get("userPassword") or {}
        if (agent := at(public, METHOD)) is not None:
            data = secrets.get(at(public, "source.secret.secretName") or "", {})
            lines = [line.strip() for value in data.values() for line in value.decode(errors="replace").splitlines()]
            for user in agent.get("users") or ():
                keys.setdefault(user, []).extend(line for line in lines if line and not line.startswith("#"))
        if at(password, METHOD) is not None:
            passwords |= {
                u: v.strip() for u, v in secrets.get(at(password, "source.secret.secretName") or "", {}).items()
            }
    return Wanted({user: tuple(dict.fromkeys(lines)) for user, lines in keys.items()}, passwords)


async def bring(agent: GuestAgent, wanted: Wanted) -> None:
    """Give the guest its credentials. Raises GuestAgentError."""
    for user, lines in wanted.keys.items():
        try:
            await agent.set_authorized_keys(user, lines)
        except GuestAgentError as error:
            await _write_authorized_keys(agent, user, lines, error)
    for user, password in wanted.passwords.items():
        await agent.set_password(user, password)


async def _write_authorized_keys(agent: GuestAgent, user: str, lines: Sequence[str], refused: GuestAgentError) -> None:
    """What an agent older than 5.2 lacks a command for, done with files. Raises GuestAgentError with both reasons."""
    try:
        fields = (await agent.output("getent", ["passwd", user])).strip().split(":")
        if len(fields) < PASSWD_FIELDS:
            raise GuestAgentError(f"the guest does not say where {user} is at home")
        owner, directory = f"{fields[2]}:{fields[3]}", f"{fields[5]}/.ssh"
        path = f"{directory}/authorized_keys"
        await agent.output("mkdir", ["-p", directory])
        await agent.write_file(path, "".join(f"{line}\n" for line in lines).encode())
        await agent.output("chown", [owner, directory, path])
        await agent.output("chmod", ["700", directory])
        await agent.output("chmod", ["600", path])
    except GuestAgentError as error:
        raise GuestAgentError(f"{refused}; {error}") from error


class Credentials:
    """The credentials of this node's machines."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._outcomes: dict[str, Outcome] = {}

    def ensure(self, vmi: Object, running: Running, on_change: Callable[[], None]) -> None:
        """Keep this machine's guest supplied; `on_change` is called when the outcome changes."""
        uid = running.uid
        if uid not in self._tasks and secret_names(vmi):
            self._tasks[uid] = asyncio.create_task(self._watch(vmi, running, on_change), name=f"credentials {uid}")

    def outcome(self, uid: str) -> Outcome | None:
        """How the last attempt went; None before the first."""
        return self._outcomes.get(uid)

    async def _watch(self, vmi: Object, running: Running, on_change: Callable[[], None]) -> None:
        sources, brought = Sources(self._client, vmi["metadata"]["namespace"]), ""
        while not running.ended:
            if running.agent_connected and running.state == "running":
                before = self._outcomes.get(running.uid)
                try:
                    wanted = build_wanted(vmi, {name: await sources.secret(name) for name in secret_names(vmi)})
                    if wanted.digest() != brought:
                        await bring(running.agent, wanted)
                        brought = wanted.digest()
                    outcome = Outcome()
                except (GuestAgentError, NotReadyError, StatusError) as error:
                    outcome = Outcome(str(error))
                if outcome != before:
                    self._outcomes[running.uid] = outcome
                    on_change()
            await asyncio.sleep(LOOK_SECONDS if running.agent_connected else 1.0)

    async def stop(self, uid: str) -> None:
        """Leave this machine alone from now on."""
        self._outcomes.pop(uid, None)
        if task := self._tasks.pop(uid, None):
            await cancel_and_wait([task])

    async def close(self) -> None:
        """Leave all alone."""
        for uid in list(self._tasks):
            await self.stop(uid)
