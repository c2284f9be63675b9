"""Disruption budgets: what they allow, and in whose favour they round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.lib import clock
from isthmus.machinery import disruption
from isthmus.machinery.disruption import Expected
from isthmus.machinery.errors import StatusError

NOW = clock.parse("2026-01-01T00:10:00Z")


def a_pod(name="p", ready=True, phase="Running", **metadata):
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    metadata = {"name": name, "namespace": "n", "labels": {"app": "a"}} | metadata
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, "conditions": conditions}}


def a_budget(status=None, generation=1, selector=None, **spec):
    selector = {"matchLabels": {"app": "a"}} if selector is None else selector
    return {
        "metadata": {"name": "b", "namespace": "n", "generation": generation},
        "spec": {"selector": selector} | spec,
        "status": {"observedGeneration": 1} | (status or {}),
    }


@pytest.mark.parametrize(
    ("selector", "covered"),
    [
        ({"matchLabels": {"app": "a"}}, True),
        ({"matchLabels": {"app": "b"}}, False),
        ({}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Near"}]}, False),
    ],
)
def test_a_budget_covers_what_it_selects_and_an_empty_selector_nothing(selector, covered):
    assert disruption.covers(a_budget(selector=selector), a_pod()) is covered


def test_two_budgets_of_one_pod_are_an_error():
    with pytest.raises(StatusError, match="more than one PodDisruptionBudget") as error:
        disruption.find_budget([a_budget(), a_budget()], a_pod())
    assert error.value.code == 500
    assert disruption.find_budget([a_budget(selector={})], a_pod()) is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Pending"])
def test_who_serves_nobody_is_unguarded(phase):
    assert disruption.is_unguarded(a_pod(phase=phase))
    assert disruption.is_unguarded(a_pod(deletionTimestamp="2026-01-01T00:00:00Z"))
    assert not disruption.is_unguarded(a_pod())


@pytest.mark.parametrize(
    ("ready", "policy", "healthy", "desired", "takes"),
    [
        (True, "AlwaysAllow", 3, 2, True),
        (False, "AlwaysAllow", 0, 2, False),
        (False, "IfHealthyBudget", 2, 2, False),
        (False, None, 2, 2, False),
        (False, None, 1, 2, True),
        (False, None, 0, 0, True),
    ],
)
def test_an_unhealthy_pod_goes_for_nothing_where_the_policy_says_so(ready, policy, healthy, desired, takes):
    spec = {"unhealthyPodEvictionPolicy": policy} if policy else {}
    budget = a_budget({"currentHealthy": healthy, "desiredHealthy": desired}, **spec)
    assert disruption.takes_from(budget, a_pod(ready=ready)) is takes


def test_taking_the_last_disruption_says_so_in_the_condition():
    status = disruption.take(a_budget({"disruptionsAllowed": 2}), "p", "t1")
    assert (status["disruptionsAllowed"], status["disruptedPods"]) == (1, {"p": "t1"})
    assert status["conditions"][0]["reason"] == "SufficientPods"
    status = disruption.take(a_budget(status), "q", "t2")
    assert (status["disruptionsAllowed"], status["disruptedPods"]) == (0, {"p": "t1", "q": "t2"})
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "DisruptionAllowed",
        "False",
        "InsufficientPods",
    )


@pytest.mark.parametrize(
    ("status", "generation", "code", "retry", "words"),
    [
        ({"disruptionsAllowed": 1}, 2, 429, 10, "still being processed by the server"),
        ({"currentHealthy": 1, "desiredHealthy": 2}, 1, 429, None, "needs 2 healthy pods and has 1 currently"),
        ({"disruptionsAllowed": -1}, 1, 403, None, "negative"),
        ({"disruptionsAllowed": 1, "disruptedPods": {str(n): "t" for n in range(2001)}}, 1, 403, None, "too big"),
    ],
)
def test_what_is_refused_is_refused_in_kubernetes_words(status, generation, code, retry, words):
    with pytest.raises(StatusError) as error:
        disruption.take(a_budget(status, generation), "p", "now")
    told = error.value.status()
    assert (told["code"], error.value.retry_after) == (code, retry)
    assert words in str(told)
    if code == 429:
        assert told["details"]["causes"][0]["reason"] == "DisruptionBudget"


@pytest.mark.parametrize(
    ("spec", "pods", "scale", "expected"),
    [
        ({"minAvailable": 2}, 3, 0, Expected(3, 2)),
        ({"minAvailable": "50%"}, 3, 5, Expected(5, 3)),
        ({"maxUnavailable": 1}, 3, 5, Expected(5, 4)),
        ({"maxUnavailable": "30%"}, 3, 10, Expected(10, 7)),
        ({"maxUnavailable": "35%"}, 3, 10, Expected(10, 6)),
        ({"maxUnavailable": 9}, 3, 5, Expected(5, 0)),
        ({}, 3, 0, Expected(0, 0)),
    ],
)
def test_what_is_expected(spec, pods, scale, expected):
    budget = a_budget(**spec)
    assert disruption.expect(budget, pods, scale) == expected
    assert disruption.needs_scale(budget) == ("%" in str(spec) or "maxUnavailable" in spec)


@pytest.mark.parametrize("amount", ["5", "x%", "", "%"])
def test_an_amount_that_is_no_percentage_is_refused(amount):
    with pytest.raises(ValueError, match="not a percentage"):
        disruption.expect(a_budget(minAvailable=amount), 1, 1)


def test_pods_on_their_way_out_are_not_healthy():
    pods = [
        a_pod("a"),
        a_pod("b", ready=False),
        a_pod("c", deletionTimestamp="x"),
        a_pod("d"),  # allowed a minute ago
        a_pod("e"),  # allowed long ago, and still there
    ]
    told = {"c": "2026-01-01T00:09:59Z", "d": "2026-01-01T00:09:00Z", "e": "2026-01-01T00:07:00Z", "gone": "x"}
    told["gone"] = "2026-01-01T00:09:59Z"
    status, again = disruption.count(a_budget({"disruptedPods": told}), pods, Expected(5, 1), NOW, clock.parse)
    assert status["currentHealthy"] == 2
    assert status["disruptionsAllowed"] == 1
    assert status["disruptedPods"] == {"d": told["d"]}
    assert again == 60


@given(
    st.lists(st.booleans(), max_size=8), st.integers(0, 8), st.one_of(st.integers(0, 9), st.integers(0, 100).map(str))
)
def test_a_budget_never_allows_more_than_would_leave_enough(ready, scale, amount):
    pods = [a_pod(f"p{n}", ready=good) for n, good in enumerate(ready)]
    amount = f"{amount}%" if isinstance(amount, str) else amount
    for spec in ({"minAvailable": amount}, {"maxUnavailable": amount}):
        budget = a_budget(**spec)
        expected = disruption.expect(budget, len(pods), scale)
        status, _ = disruption.count(budget, pods, expected, NOW, clock.parse)
        allowed = status["disruptionsAllowed"]
        assert 0 <= allowed <= sum(ready)
        assert allowed == 0 or sum(ready) - allowed >= expected.healthy


def test_a_budget_that_cannot_be_counted_allows_nothing():
    status = disruption.failed(a_budget({"disruptionsAllowed": 3}), "no scale", "now")
    assert status["disruptionsAllowed"] == 0
    assert (status["conditions"][0]["reason"], status["conditions"][0]["message"]) == ("SyncFailed", "no scale")
