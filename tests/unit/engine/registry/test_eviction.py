"""Evictions through the whole server: what a budget allows, takes and refuses."""

import asyncio

import pytest

NS = "/api/v1/namespaces/default"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
MERGE = "application/merge-patch+json"


@pytest.fixture
async def world(api):
    """Three Pods that run and are ready, one that is not, and a budget which allows one disruption."""
    for name in ("a", "b", "c", "sick"):
        body = {
            "metadata": {"name": name, "labels": {"app": "x"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]},
        }
        await api("POST", f"{NS}/pods", body, code=201)
        ready = {"type": "Ready", "status": "False" if name == "sick" else "True"}
        status = {"status": {"phase": "Running", "conditions": [ready]}}
        await api("PATCH", f"{NS}/pods/{name}/status", status, code=200, content_type=MERGE)
    spec = {"minAvailable": 2, "selector": {"matchLabels": {"app": "x"}}}
    await api("POST", BUDGETS, {"metadata": {"name": "b"}, "spec": spec}, code=201)
    await allow(api, 1)
    return api


async def allow(api, number, healthy=3, generation=1):
    status = {
        "disruptionsAllowed": number,
        "currentHealthy": healthy,
        "desiredHealthy": 2,
        "expectedPods": 4,
        "observedGeneration": generation,
    }
    await api("PATCH", f"{BUDGETS}/b/status", {"status": status}, code=200, content_type=MERGE)


async def evict(api, name, code, **options):
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}} | options
    return await api("POST", f"{NS}/pods/{name}/eviction", body, code=code)


async def is_there(api, name):
    status, pod = await api("GET", f"{NS}/pods/{name}")
    return status == 200 and "deletionTimestamp" not in pod["metadata"]


async def test_the_last_disruption_is_taken_once_however_many_ask(world):
    bodies = [{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}} for name in ("a", "b", "c")]
    answers = await asyncio.gather(
        *(world("POST", f"{NS}/pods/{body['metadata']['name']}/eviction", body) for body in bodies)
    )
    assert sorted(code for code, _ in answers) == [201, 429, 429]
    refused = next(answer for code, answer in answers if code == 429)
    assert refused["reason"] == "TooManyRequests"
    assert refused["details"]["causes"] == [
        {"reason": "DisruptionBudget", "message": "The disruption budget b needs 2 healthy pods and has 3 currently"}
    ]
    assert [await is_there(world, name) for name in ("a", "b", "c")].count(False) == 1
    status = (await world("GET", f"{BUDGETS}/b", code=200))["status"]
    assert status["disruptionsAllowed"] == 0 and len(status["disruptedPods"]) == 1


async def test_an_evicted_pod_says_why_it_goes(world):
    await evict(world, "a", 201, deleteOptions={"gracePeriodSeconds": 60})
    pod = await world("GET", f"{NS}/pods/a", code=200)
    found = {c["type"]: c for c in pod["status"]["conditions"]}
    assert (found["DisruptionTarget"]["status"], found["DisruptionTarget"]["reason"]) == (
        "True",
        "EvictionByEvictionAPI",
    )


async def test_a_budget_that_is_not_counted_yet_asks_for_patience(world):
    spec = {"spec": {"minAvailable": 1}}
    await world("PATCH", f"{BUDGETS}/b", spec, code=200, content_type=MERGE)
    await evict(world, "a", 429)
    assert world.headers["retry-after"] == "10"
    assert await is_there(world, "a")


async def test_what_a_deletion_refuses_costs_no_disruption(world):
    await evict(world, "a", 409, deleteOptions={"preconditions": {"uid": "another"}})
    await evict(world, "none", 404)
    assert (await world("GET", f"{BUDGETS}/b", code=200))["status"]["disruptionsAllowed"] == 1


async def test_a_dry_run_takes_nothing_and_is_refused_alike(world):
    await evict(world, "a", 201, deleteOptions={"dryRun": ["All"]})
    assert (await world("GET", f"{BUDGETS}/b", code=200))["status"]["disruptionsAllowed"] == 1
    assert await is_there(world, "a")
    await allow(world, 0)
    await evict(world, "a", 429, deleteOptions={"dryRun": ["All"]})


async def test_an_unhealthy_pod_goes_while_the_budget_is_met_or_always_if_its_policy_says_so(world):
    await allow(world, 0, healthy=1)
    await evict(world, "sick", 429)
    policy = {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}}
    await world("PATCH", f"{BUDGETS}/b", policy, code=200, content_type=MERGE)
    await evict(world, "sick", 201)
    assert not await is_there(world, "sick")
    await evict(world, "a", 429)


async def test_who_has_two_budgets_or_none(world):
    spec = {"minAvailable": 0, "selector": {"matchLabels": {"app": "x"}}}
    await world("POST", BUDGETS, {"metadata": {"name": "second"}, "spec": spec}, code=201)
    refused = await evict(world, "a", 500)
    assert "more than one PodDisruptionBudget" in refused["message"]
    for name in ("b", "second"):
        await world("DELETE", f"{BUDGETS}/{name}", code=200)
    await evict(world, "a", 201)


async def test_a_pod_that_does_not_run_is_evicted_whatever_the_budget(world):
    await allow(world, 0)
    ended = {"status": {"phase": "Succeeded"}}
    await world("PATCH", f"{NS}/pods/a/status", ended, code=200, content_type=MERGE)
    await evict(world, "a", 201)
    assert not await is_there(world, "a")
