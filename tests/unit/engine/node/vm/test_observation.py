"""What a status shows of a machine, from a monitor and an agent that may refuse any question."""

from dataclasses import replace

import pytest

from isthmus.engine.node.guest.agent import GuestAgentError
from isthmus.engine.node.vm.errors import MonitorError
from isthmus.engine.node.vm.guestwatch import GuestInfo, ask_guest
from isthmus.engine.node.vm.observation import Look, Observation, look_at

GUEST = GuestInfo("8.0", ["guest-ping"], {"id": "debian"}, "web", [{"mac": "02:"}])
BEFORE = Observation("running", True, GUEST, 2, 7)


class Monitor:
    """A machine without a balloon."""

    async def cpu_count(self):
        return 4

    async def memory(self):
        raise MonitorError("no balloon")

    async def agent_connected(self):
        return True


class Agent:
    """Answers all but `refused`."""

    ANSWERS = {  # noqa: RUF012
        "info": ("9.0", []),
        "freeze_status": "thawed",
        "osinfo": {"id": "fedora"},
        "hostname": "db",
        "interfaces": [],
    }

    def __init__(self, *refused, **answers):
        self.refused, self.answers, self.asked = refused, self.ANSWERS | answers, []

    def __getattr__(self, name):
        async def answer():
            self.asked.append(name)
            if name in self.refused:
                raise GuestAgentError(f"{name} is switched off")
            return self.answers[name]

        return answer


async def test_everything_is_asked_of_a_guest():
    assert await ask_guest(Agent(), GUEST) == GuestInfo("9.0", [], {"id": "fedora"}, "db", [])


@pytest.mark.parametrize(
    ("refused", "field", "left"),
    [
        ("osinfo", "osinfo", {}),
        ("hostname", "hostname", ""),
        ("interfaces", "interfaces", []),
        ("freeze_status", "frozen", False),
    ],
)
async def test_one_command_that_is_switched_off_loses_nothing_else(refused, field, left):
    answer = await ask_guest(Agent(refused), GUEST)
    assert (answer.version, getattr(answer, field)) == ("9.0", left)


async def test_a_frozen_guest_is_asked_no_more_and_what_it_said_is_kept():
    agent = Agent(freeze_status="frozen")
    answer = await ask_guest(agent, GUEST)
    assert agent.asked == ["info", "freeze_status"]
    assert answer == replace(GUEST, version="9.0", commands=[], frozen=True)


async def test_an_agent_that_does_not_answer_is_not_connected_and_what_it_said_is_kept():
    assert await ask_guest(Agent("info"), GUEST) is None
    assert BEFORE.answered(None) == replace(BEFORE, agent_connected=False)


async def test_a_machine_without_a_balloon_keeps_what_was_known_of_its_memory():
    look = await look_at(Monitor())
    assert look == Look(4, None, True)
    assert BEFORE.looked(look) == replace(BEFORE, vcpus=4)


@pytest.mark.parametrize(
    ("state", "was", "channel", "connected"),
    [
        ("running", True, True, True),  # it was asked, and will be again
        ("running", False, True, False),  # it has to answer first
        ("running", True, False, False),
        ("paused", False, True, True),
        ("paused", True, False, False),
    ],
)
def test_an_open_channel_is_enough_for_a_guest_that_cannot_answer(state, was, channel, connected):
    before = replace(BEFORE, state=state, agent_connected=was)
    assert before.looked(Look(1, 2, channel)).agent_connected is connected
