"""A kopf operator as people write them: run by test_kopf as a process of its own."""

import kopf
import kubernetes


@kopf.on.create("kopf.example.org", "v1", "ponds")
def created(spec, namespace, patch, **_):
    patch.status["depth"] = spec["depth"]
    patch.status["state"] = "made"


@kopf.on.update("kopf.example.org", "v1", "ponds", field="spec.depth")
def deepened(old, new, patch, **_):
    patch.status["state"] = f"{old}->{new}"


@kopf.on.create("kopf.example.org", "v1", "ponds")
def stocked(body, namespace, **_):
    """A child that goes with its pond, by the garbage collector."""
    child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "fish-"}}
    kopf.adopt(child, owner=body)
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, child)


@kopf.on.startup()
def connected(**_):
    kubernetes.config.load_kube_config()


@kopf.on.resume("kopf.example.org", "v1", "ponds")
def found(name, **_):
    print(f"FOUND {name}", flush=True)


@kopf.timer("kopf.example.org", "v1", "ponds", interval=0.5)
def rained(patch, status, **_):
    patch.status["rains"] = status.get("rains", 0) + 1


@kopf.index("kopf.example.org", "v1", "ponds")
def by_depth(spec, name, **_):
    return {spec["depth"]: name}


@kopf.on.event("kopf.example.org", "v1", "ponds", labels={"ask": kopf.PRESENT})
def asked(body, by_depth, **_):
    kopf.info(body, reason="Asked", message=f"{len(by_depth)} depths")


@kopf.on.delete("kopf.example.org", "v1", "ponds")
def drained(name, namespace, logger, **_):
    print(f"DRAINED {namespace}/{name}", flush=True)
