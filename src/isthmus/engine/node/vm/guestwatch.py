"""Asks a guest's agent again and again, in its own time: one that was just killed takes long not to answer.

Called by `running`, whose look at the machine must not wait for a guest: it would miss that it has powered off.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from isthmus.engine.node.guest.agent import GuestAgent, GuestAgentError

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GuestInfo:
    """What the guest's agent told last."""

    version: str = ""
    commands: list[str] = field(default_factory=list)
    osinfo: dict[str, str] = field(default_factory=dict)
    hostname: str = ""
    interfaces: list[dict[str, Any]] = field(default_factory=list)
    frozen: bool = False


class GuestWatch:
    """One guest. `on_answer` is called after each round of questions: with what was said, or None for no answer."""

    def __init__(self, on_answer: Callable[[GuestInfo | None], None]) -> None:
        self._on_answer = on_answer
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def ask(self, agent: GuestAgent, before: GuestInfo) -> None:
        """Begin a round; if one is under way, another follows it, for something may have changed."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask(agent, before), name="guest agent")
        else:
            self._again = True

    async def _ask(self, agent: GuestAgent, before: GuestInfo) -> None:
        self._again = True
        while self._again:
            self._again = False
            answer = await ask_guest(agent, before)
            if self._task is not asyncio.current_task():
                return  # stopped; a cancellation may get lost where it meets the end of a `wait_for`
            self._on_answer(answer)
            before = answer or before

    def stop(self) -> list[asyncio.Task[None]]:
        """End the round that is under way: its answer would be of no use. Gives what has not ended yet."""
        task, self._task = self._task, None
        if task is None or task.done():
            return []
        task.cancel()
        return [task]


async def ask_guest(agent: GuestAgent, before: GuestInfo) -> GuestInfo | None:
    """What the agent says now; None if it does not answer."""
    try:
        version, commands = await agent.info()
    except GuestAgentError as error:
        log.debug("%s", error)
        return None
    status = await _answer(agent.freeze_status(), "frozen" if before.frozen else "")
    if status == "frozen":  # a frozen agent answers nothing else
        return replace(before, version=version, commands=commands, frozen=True)
    osinfo: dict[str, str] = await _answer(agent.osinfo(), {})
    hostname = await _answer(agent.hostname(), "")
    interfaces: list[dict[str, Any]] = await _answer(agent.interfaces(), [])
    return GuestInfo(version, commands, osinfo, hostname, interfaces)


async def _answer(question: Awaitable[T], otherwise: T) -> T:
    """A command may be switched off in a guest; none is worth losing the others for."""
    try:
        return await question
    except GuestAgentError:
        return otherwise
