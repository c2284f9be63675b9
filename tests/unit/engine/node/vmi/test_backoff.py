"""The kubelet's paces and words for a VMI that cannot be prepared yet."""

from isthmus.engine.node.image.errors import invalid_name, pull_failed
from isthmus.engine.node.vm.errors import SpecError
from isthmus.engine.node.vmi.backoff import Retries
from isthmus.engine.node.vmi.preparing import PullError
from isthmus.machinery import errors

SPEC = {"volumes": [{"name": "d"}]}


def refused(image="r.example/a:1"):
    return PullError(image, pull_failed("connection refused"))


def delays(error, tries):
    retries = Retries()
    return [retries.note(error, SPEC, 0).delay for _ in range(tries)]


def test_pulls_are_tried_again_after_10_seconds_and_at_last_every_5_minutes():
    assert delays(refused(), 7) == [10, 20, 40, 80, 160, 300, 300]


def test_volumes_are_tried_again_at_once_and_at_last_every_2_minutes():
    assert delays(SpecError("spec", "no such claim"), 10) == [0.5, 1, 2, 4, 8, 16, 32, 64, 122, 122]


def test_an_api_that_was_away_is_asked_again_within_seconds():
    assert max(delays(errors.unavailable("starting"), 20)) == 10


def test_another_cause_begins_with_the_shortest_delay():
    retries = Retries()
    for _ in range(3):
        retries.note(refused(), SPEC, 0)
    assert retries.note(refused("r.example/b:1"), SPEC, 0).delay == 10
    assert retries.note(refused("r.example/b:1"), SPEC, 0).delay == 20
    assert retries.note(refused("r.example/b:1"), {"volumes": []}, 0).delay == 10
    assert retries.note(SpecError("spec", "x"), SPEC, 0).delay == 0.5


def test_a_failed_pull_is_told_first_and_then_the_back_off():
    retries = Retries()
    retries.note(refused(), SPEC, 0)
    failure = retries.note(refused(), SPEC, 100)
    assert failure.tell(100).reason == "ErrImagePull"
    assert failure.tell(100).message == "connection refused"
    later = failure.tell(105)
    assert later.reason == "ImagePullBackOff"
    assert later.message.startswith('Back-off pulling image "r.example/a:1": ErrImagePull: connection refused')
    assert "20 s" in later.message
    assert (later.seconds, failure.tell(121).seconds) == (15, 0)


def test_what_is_no_failed_pull_keeps_its_own_word():
    for error, reason in ((PullError("?", invalid_name("no name")), "InvalidImageName"), (ValueError("?"), None)):
        failure = Retries().note(error, SPEC, 0)
        assert failure.tell(5).reason == (reason or "CreateContainerError")
        assert "Back-off" not in failure.tell(5).message
