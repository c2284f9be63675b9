"""How long a guest or a worker may take to end, on a host whose clock is set meanwhile."""

import pytest

from isthmus.engine.node import graceperiods
from isthmus.engine.node.graceperiods import Deadlines, Notice
from isthmus.lib import clock

DELETED = "2026-01-01T00:00:00Z"
START = clock.parse(DELETED)


class Clocks:
    """A wall clock that may be set, and a steady one."""

    def __init__(self, wall=START):
        self.wall, self.steady = wall, 1000.0

    def deadlines(self):
        return Deadlines(lambda: self.wall, lambda: self.steady)

    def pass_by(self, seconds):
        self.wall += seconds
        self.steady += seconds


def pod(**metadata):
    return {"metadata": metadata, "spec": {}}


@pytest.mark.parametrize("step", [-86400.0, -5.0, 5.0, 86400.0])
def test_a_step_of_the_clock_neither_shortens_nor_lengthens_a_grace_period(step):
    clocks = Clocks()
    deadlines, notices = clocks.deadlines(), [Notice("deleted", 30, DELETED)]
    before = deadlines.find("u", notices)
    clocks.pass_by(10)
    clocks.wall += step
    assert deadlines.find("u", notices) == before
    assert deadlines.seconds_to(before) == 20


@pytest.mark.parametrize(("passed", "left"), [(0, 30), (12, 18), (300, 0), (-3600, 30)])
def test_a_new_agent_gives_what_is_left_and_never_more_than_the_grace_period(passed, left):
    clocks = Clocks(START + passed)
    deadlines = clocks.deadlines()
    assert deadlines.seconds_to(deadlines.find("u", [Notice("deleted", 30, DELETED)])) == left


def test_a_shorter_grace_period_is_another_notice_and_the_nearest_counts():
    clocks = Clocks()
    deadlines, patient = clocks.deadlines(), Notice("deleted", 180, DELETED)
    deadlines.find("u", [patient])
    clocks.pass_by(10)
    forced = Notice("deleted", 0, DELETED)
    assert deadlines.seconds_to(deadlines.find("u", [patient, forced])) == 0


def test_what_has_no_date_counts_from_its_first_sight_until_it_is_forgotten():
    clocks = Clocks()
    deadlines, notice = clocks.deadlines(), Notice("not alive", 30)
    assert deadlines.find("u", []) is None
    deadlines.find("u", [notice])
    clocks.pass_by(10)
    assert deadlines.seconds_to(deadlines.find("u", [notice])) == 20
    deadlines.forget("u")
    assert deadlines.seconds_to(deadlines.find("u", [notice])) == 30


def test_a_pods_deletion_timestamp_is_the_end_of_its_grace_period():
    clocks = Clocks()
    deadlines = clocks.deadlines()
    end = clock.timestamp(START + 7)
    notices = graceperiods.of_pod(pod(deletionTimestamp=end, deletionGracePeriodSeconds=7))
    assert deadlines.seconds_to(deadlines.find("u", notices)) == 7
    assert graceperiods.of_pod(pod()) == []
