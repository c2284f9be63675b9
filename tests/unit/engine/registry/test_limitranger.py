"""LimitRanges: what they give, and what they forbid."""

import pytest

CORE = "/api/v1/namespaces/default"
CLAIM = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}}


async def limit(api, **item):
    body = {"metadata": {"name": "l"}, "spec": {"limits": [item]}}
    return (await api("POST", f"{CORE}/limitranges", body, code=201))["spec"]["limits"][0]


def pod(*resources):
    containers = [{"name": f"c{i}", "image": "i", "resources": r} for i, r in enumerate(resources)]
    return {"metadata": {"name": "p"}, "spec": {"containers": containers}}


async def test_a_range_is_completed_by_its_own_bounds(api) -> None:
    made = await limit(api, type="Container", max={"cpu": "2"}, min={"memory": "1Mi"})
    assert made["default"] == {"cpu": "2"} and made["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}


async def test_containers_get_what_they_do_not_say(api) -> None:
    await limit(api, type="Container", default={"cpu": "500m"}, defaultRequest={"cpu": "100m"})
    made = await api("POST", f"{CORE}/pods", pod({}, {"limits": {"cpu": "1"}}), code=201)
    first, second = (c["resources"] for c in made["spec"]["containers"])
    assert first == {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}}
    assert second == {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}
    told = made["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
    assert told == "LimitRanger plugin set: cpu request, cpu limit for container c0; cpu request for container c1"
    assert made["status"]["qosClass"] == "Burstable"


@pytest.mark.parametrize(
    ("item", "resources", "message"),
    [
        (
            {"type": "Container", "max": {"cpu": "1"}},
            [{"limits": {"cpu": "2"}}],
            'pods "p" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
        ),
        (
            {"type": "Container", "min": {"memory": "10Mi"}},
            [{"requests": {"memory": "5Mi"}}],
            "minimum memory usage per Container is 10Mi, but request is 5Mi",
        ),
        ({"type": "Pod", "max": {"cpu": "1"}}, [{"limits": {"cpu": "600m"}}] * 2, "per Pod is 1, but limit is 1200m"),
        ({"type": "Pod", "max": {"cpu": "1"}}, [{}], "maximum cpu usage per Pod is 1.  No limit is specified"),
    ],
)
async def test_what_is_out_of_bounds_is_forbidden(api, item, resources, message) -> None:
    await limit(api, **item)
    refused = await api("POST", f"{CORE}/pods", pod(*resources), code=403)
    assert message in refused["message"]


async def test_a_claim_that_is_too_large_is_forbidden(api) -> None:
    await limit(api, type="PersistentVolumeClaim", max={"storage": "1Gi"})
    refused = await api("POST", f"{CORE}/persistentvolumeclaims", {"metadata": {"name": "c"}} | CLAIM, code=403)
    assert "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 5Gi" in refused["message"]


async def test_another_namespaces_range_says_nothing(api) -> None:
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}}, code=201)
    await limit(api, type="Container", max={"cpu": "1"})
    await api("POST", "/api/v1/namespaces/other/pods", pod({"limits": {"cpu": "2"}}), code=201)
