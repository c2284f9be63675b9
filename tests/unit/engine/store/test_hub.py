"""The hub: one follower's failure is its own."""

from isthmus.engine.store.hub import Hub
from isthmus.engine.store.row import Row

ROW = Row(("pods", "n", "p"), 1, b"{}")


def test_a_watcher_that_fails_is_dropped_and_told_and_the_others_go_on(caplog) -> None:
    hub, seen, told = Hub(), [], []

    def broken(_rows) -> None:
        raise ValueError("boom")

    hub.subscribe("pods", broken, lambda: told.append("broken"))
    hub.subscribe("pods", lambda rows: seen.append(len(rows)))
    hub.publish([ROW])
    hub.publish([ROW])
    assert seen == [1, 1] and told == ["broken"]
    assert [r.levelname for r in caplog.records] == ["ERROR"]


def test_a_part_of_the_server_that_fails_once_goes_on_following() -> None:
    hub, calls = Hub(), []

    def follower(rows) -> None:
        calls.append(rows)
        if len(calls) == 1:
            raise KeyError("once")

    hub.subscribe("pods", follower)
    hub.publish([ROW])
    hub.publish([ROW])
    assert len(calls) == 2


def test_the_watchers_of_a_resource_that_ends_are_told() -> None:
    hub, told, kept = Hub(), [], []
    hub.subscribe("xs", lambda _rows: None, lambda: told.append(1))
    hub.subscribe("xs", kept.append)
    hub.end("xs")
    hub.publish([Row(("xs", "", "x"), 1, b"{}")])
    assert told == [1] and len(kept) == 1
