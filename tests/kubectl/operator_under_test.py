"""A kopf operator as people write them: run by test_kopf as a process of its own."""

import kopf


@kopf.on.create("kopf.example.org", "v1", "ponds")
def created(spec, namespace, patch, **_):
    patch.status["depth"] = spec["depth"]
    patch.status["state"] = "made"


@kopf.on.update("kopf.example.org", "v1", "ponds", field="spec.depth")
def deepened(old, new, patch, **_):
    patch.status["state"] = f"{old}->{new}"


@kopf.on.delete("kopf.example.org", "v1", "ponds")
def drained(name, namespace, logger, **_):
    print(f"DRAINED {namespace}/{name}", flush=True)
