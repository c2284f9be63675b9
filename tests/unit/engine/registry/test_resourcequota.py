"""ResourceQuotas at admission: refused at the one too many, and counted anew at each write."""

import asyncio

CORE = "/api/v1/namespaces/default"


def _name(text):
    return text.replace("count__", "count/").replace("__", ".")


async def limit(api, **hard):
    body = {"metadata": {"name": "q"}, "spec": {"hard": {_name(name): value for name, value in hard.items()}}}
    await api("POST", f"{CORE}/resourcequotas", body, code=201)


def pod(name, **resources):
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}}


async def test_the_pod_that_is_too_much_is_forbidden_and_has_its_place_when_another_is_gone(api) -> None:
    await limit(api, pods="2", requests__cpu="1")
    for name in ("a", "b"):
        await api("POST", f"{CORE}/pods", pod(name, requests={"cpu": "400m"}), code=201)
    refused = await api("POST", f"{CORE}/pods", pod("c", requests={"cpu": "400m"}), code=403)
    assert refused["message"] == (
        'pods "c" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=400m, '
        "used: pods=2,requests.cpu=800m, limited: pods=2,requests.cpu=1"
    )
    await api("DELETE", f"{CORE}/pods/a", {"gracePeriodSeconds": 0})
    await api("POST", f"{CORE}/pods", pod("c", requests={"cpu": "400m"}), code=201)


async def test_of_many_at_once_no_more_are_let_in_than_there_are_places(api) -> None:
    await limit(api, count__configmaps="5")
    bodies = [{"metadata": {"name": f"m{n}"}} for n in range(20)]

    async def create(body):
        try:
            await api("POST", f"{CORE}/configmaps", body, code=201)
        except AssertionError:
            return False
        return True

    assert sum(await asyncio.gather(*map(create, bodies))) == 5


async def test_a_silent_pod_is_told_what_to_say(api) -> None:
    await limit(api, limits__memory="1Gi")
    refused = await api("POST", f"{CORE}/pods", pod("a"), code=403)
    assert refused["message"] == 'pods "a" is forbidden: failed quota: q: must specify limits.memory for: c'


async def test_another_namespace_is_free(api) -> None:
    await limit(api, configmaps="0")
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}}, code=201)
    await api("POST", "/api/v1/namespaces/other/configmaps", {"metadata": {"name": "m"}}, code=201)
    refused = await api("POST", f"{CORE}/configmaps", {"metadata": {"name": "m"}}, code=403)
    assert refused["reason"] == "Forbidden"
