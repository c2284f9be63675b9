"""The scheduler's picture of the cluster: kept by small steps it is what one made of everything is, for linear work."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.client.informer import key_of
from isthmus.engine.scheduler import scheduler, snapshot
from isthmus.engine.scheduler.cache import Cache
from isthmus.machinery import conditions

NODES, NAMES = ("n1", "n2", "n3"), ("a", "b", "c", "d")


def a_node(name, cpu="4", **labels):
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name} | labels},
        "spec": {},
        "status": {
            "allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"},
            "conditions": [conditions.build("Ready", True)],
        },
    }


def a_pod(name, uid, node="", cpu="100m", phase="Pending", label="x", shy=False):
    spec = {"containers": [{"resources": {"requests": {"cpu": cpu, "memory": "1Mi"}}}]}
    if node:
        spec["nodeName"] = node
    if shy:
        term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": label}}}
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    metadata = {"name": name, "namespace": "ns", "uid": uid, "labels": {"app": label}}
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase}}


class World:
    """The objects themselves, told to a cache as informers tell them."""

    def __init__(self):
        self.cache, self.nodes, self.pods, self.assumed, self.births = Cache(), {}, {}, {}, 0

    def node(self, name, new):
        old = self.nodes.pop(name, None)
        if new is not None:
            self.nodes[name] = new
        if old or new:
            self.cache.set_node(old, new)

    def pod(self, name, new):
        old = self.pods.pop(name, None)
        if old is not None and (new is None or new["metadata"]["uid"] != old["metadata"]["uid"]):
            self.assumed.pop(old["metadata"]["uid"], None)
        if new is not None:
            self.pods[name] = new
            if new["spec"].get("nodeName") or new["status"]["phase"] in snapshot.FINAL:
                self.assumed.pop(new["metadata"]["uid"], None)
        if old or new:
            self.cache.set_pod(old, new)

    def step(self, kind, name, node, cpu, flag):
        if kind == "node":
            self.node(node, a_node(node, cpu="2" if flag else "4", zone=cpu))
        elif kind == "no node":
            self.node(node, None)
        elif kind == "pod":
            self.births += 1
            self.pod(name, a_pod(name, f"{name}-{self.births}", node if flag else "", cpu, shy=name == "a"))
        elif kind == "no pod":
            self.pod(name, None)
        elif (pod := self.pods.get(name)) is not None:
            self.change(kind, pod, node, cpu, flag)

    def change(self, kind, pod, node, cpu, flag):
        uid, bound, name = pod["metadata"]["uid"], pod["spec"].get("nodeName", ""), pod["metadata"]["name"]
        final = pod["status"]["phase"] in snapshot.FINAL
        if kind == "assume" and not bound and not final and uid not in self.assumed:
            self.assumed[uid] = node
            self.cache.assume(pod, node)
        elif kind == "forget":
            self.assumed.pop(uid, None)
            self.cache.forget(pod)
        elif kind == "bind" and not bound:
            self.pod(name, a_pod(name, uid, self.assumed.get(uid, node), cpu))
        elif kind == "end":
            self.pod(name, a_pod(name, uid, bound, cpu, phase="Succeeded" if flag else "Running"))
        elif kind == "relabel":
            again = {**pod, "metadata": pod["metadata"] | {"labels": {"app": cpu}}}
            self.pod(name, again)

    def scratch(self):
        return snapshot.build(list(self.nodes.values()), list(self.pods.values()), self.assumed)


KINDS = ("node", "no node", "pod", "pod", "no pod", "assume", "assume", "forget", "bind", "end", "relabel")
STEP = st.tuples(
    st.sampled_from(KINDS),
    st.sampled_from(NAMES),
    st.sampled_from(NODES),
    st.sampled_from(("100m", "1", "0")),
    st.booleans(),
)


def comparable(infos):
    def ordered(pods):
        return tuple(sorted(pods, key=lambda p: p["metadata"]["uid"]))

    found = [replace(i, pods=ordered(i.pods), guarded=ordered(i.guarded)) for i in infos]
    return sorted(found, key=lambda i: i.name)


@given(st.lists(STEP, max_size=40), st.sets(st.integers(0, 40)))
@settings(max_examples=300, deadline=None)
def test_the_cache_after_any_events_is_what_everything_together_makes(steps, looks):
    world = World()
    for number, step in enumerate(steps):
        world.step(*step)
        if number in looks:
            assert comparable(world.cache.snapshot()) == comparable(world.scratch())
    assert comparable(world.cache.snapshot()) == comparable(world.scratch())


def test_what_no_event_touches_is_not_made_anew():
    world = World()
    for number in range(50):
        world.node(f"n{number}", a_node(f"n{number}"))
    before = {info.name: info for info in world.cache.snapshot()}
    assert world.cache.computed == 50
    world.pod("p", a_pod("p", "u", "n7"))
    after = {info.name: info for info in world.cache.snapshot()}
    assert world.cache.computed == 51
    assert [name for name in after if after[name] is not before[name]] == ["n7"]
    assert world.cache.snapshot() is world.cache.snapshot()


class Informer:
    """As much of one as the scheduler asks for."""

    def __init__(self):
        self.objects, self.handlers, self.indexers = {}, [], {}

    def on_change(self, handler):
        self.handlers.append(handler)

    def add_indexer(self, name, indexer):
        self.indexers[name] = indexer

    def index(self, name, value):
        return [obj for obj in self.objects.values() if value in self.indexers[name](obj)]

    def get(self, namespace, name):
        return self.objects.get((namespace, name))

    def put(self, obj):
        key = obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
        old = self.objects.get(key)
        self.objects[key] = obj
        for handler in self.handlers:
            handler(old, obj)


class Cluster:
    """A client that takes every binding and lets its event wait, as a busy server does."""

    def __init__(self):
        self.informers, self.bound = {}, {}
        self.client = self.recorder = self

    def informer(self, resource):
        return self.informers.setdefault(resource, Informer())

    async def call(self, _method, _path, *, body):
        self.bound[body["metadata"]["uid"]] = body["target"]["name"]

    async def normal(self, *_told):
        """An event, which nobody reads here."""


async def test_two_thousand_waiting_pods_on_fifty_nodes_are_linear_work():
    cluster = Cluster()
    loop = scheduler.Scheduler(cluster)
    loop.controller()
    for number in range(50):
        cluster.informer(scheduler.NODES).put(a_node(f"n{number:02}", cpu="8"))
    pods = [a_pod(f"p{number}", f"u{number}") for number in range(2000)]
    for pod in pods:
        cluster.informer(scheduler.PODS).put(pod)
    for pod in pods:
        assert await loop.reconcile(key_of(pod)) is None
    assert len(cluster.bound) == 2000
    counts = [list(cluster.bound.values()).count(f"n{n:02}") for n in range(50)]
    assert (min(counts), max(counts)) == (40, 40)
    assert loop.cache.computed <= 50 + 2000  # one node for each binding, not fifty
    for pod in pods:  # the events come at last: nothing is counted twice
        cluster.informer(scheduler.PODS).put(
            {**pod, "spec": pod["spec"] | {"nodeName": cluster.bound[pod["metadata"]["uid"]]}}
        )
    assert {info.used["cpu"] for info in loop.cache.snapshot()} == {4000}
