"""What every strategy owes its caller: an update shares values with the old object, which must stay as it is."""

import contextlib
import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.engine.registry import strategies
from isthmus.engine.registry.strategy import STRATEGIES
from isthmus.engine.registry.write import WriteContext

assert strategies  # importing it registers them
NAMES = st.sampled_from(("a", "b", "c"))
PORTS = st.fixed_dictionaries({"port": st.integers(1, 9)}, optional={"nodePort": st.integers(30000, 30005)})
SPEC = st.fixed_dictionaries(
    {},
    optional={
        "group": st.just("example.org"),
        "names": st.fixed_dictionaries({"plural": NAMES, "kind": st.just("K")}),
        "versions": st.lists(st.fixed_dictionaries({"name": NAMES, "storage": st.booleans()}), max_size=2),
        "type": st.sampled_from(("ClusterIP", "NodePort", "ExternalName", "Headless")),
        "ports": st.lists(PORTS, max_size=2),
        "clusterIP": st.just("10.43.0.9"),
        "containers": st.lists(st.fixed_dictionaries({"name": NAMES, "image": NAMES}), max_size=2),
        "nodeName": NAMES,
        "running": st.booleans(),
        "runStrategy": st.just("Halted"),
        "domain": st.fixed_dictionaries({}, optional={"devices": st.just({})}),
        "vmiName": NAMES,
        "template": st.just({"spec": {"domain": {}, "restartPolicy": "Never"}}),
        "finalizers": st.lists(NAMES, max_size=1),
        "accessModes": st.just(["ReadWriteOnce"]),
        "resources": st.just({"requests": {"storage": "1Gi"}}),
    },
)
METADATA = st.fixed_dictionaries(
    {"name": NAMES, "namespace": NAMES, "uid": st.just("u"), "resourceVersion": st.just("1")},
    optional={"labels": st.dictionaries(NAMES, NAMES, max_size=2), "finalizers": st.lists(NAMES, max_size=1)},
)
STATUS = st.fixed_dictionaries({}, optional={"phase": st.just("Running"), "conditions": st.just([])})
OBJECTS = st.fixed_dictionaries(
    {"metadata": METADATA, "spec": SPEC},
    optional={
        "status": STATUS,
        "stringData": st.just({"k": "v"}),
        "data": st.just({"k": "dg=="}),
        "subjects": st.just([{"kind": "User", "name": "u"}]),
        "roleRef": st.just({"kind": "Role", "name": "r"}),
    },
)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(STRATEGIES)), OBJECTS, SPEC, st.sampled_from(("", "status")))
def test_prepare_leaves_the_old_object_as_it_is(resource, old, changes, subresource) -> None:
    new = {**old, "metadata": dict(old["metadata"]), "spec": {**old["spec"], **changes}}
    shared = {**old, "metadata": dict(old["metadata"])}  # an update that shares the whole spec
    before = copy.deepcopy(old)
    for candidate in (new, shared):
        # An object of another kind's shape may make it stumble: the schema's complaint would be the answer.
        with contextlib.suppress(AttributeError, IndexError, KeyError, TypeError, ValueError):
            STRATEGIES[resource].prepare(candidate, old, WriteContext("u", subresource=subresource))
        assert old == before
