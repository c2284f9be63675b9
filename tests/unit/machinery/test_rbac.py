import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.machinery import rbac
from isthmus.machinery.rbac import Attributes


def rule(verbs="get", groups="", resources="pods", names=None):
    out = {"verbs": verbs.split(), "apiGroups": groups.split() or [""], "resources": resources.split()}
    return out | ({"resourceNames": names} if names else {})


READ_PODS = rule("get list")


@pytest.mark.parametrize(
    ("rules", "attributes", "allowed"),
    [
        ([], Attributes("get", resource="pods"), False),
        ([READ_PODS], Attributes("get", resource="pods"), True),
        ([READ_PODS], Attributes("delete", resource="pods"), False),
        ([READ_PODS], Attributes("get", resource="pods", group="apps"), False),
        ([READ_PODS], Attributes("get", resource="pods", subresource="log"), False),
        ([rule(resources="pods/log")], Attributes("get", resource="pods", subresource="log"), True),
        ([rule(resources="pods/log")], Attributes("get", resource="pods"), False),
        ([rule(resources="*/scale", groups="apps")], Attributes("get", "apps", "", "deployments", "scale"), True),
        ([rule(resources="*/scale")], Attributes("get", resource="scale"), False),
        ([rule("*", "*", "*")], Attributes("impersonate", "x", "v1", "y", "z"), True),
        ([rule(names=["a"])], Attributes("get", resource="pods", name="a"), True),
        ([rule(names=["a"])], Attributes("get", resource="pods", name="b"), False),
        ([rule("list", names=["a"])], Attributes("list", resource="pods"), False),
        ([rule("*", "*", "*")], Attributes("get", path="/metrics"), False),
        ([{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}], Attributes("get", path="/metrics"), True),
        ([{"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}], Attributes("get", path="/healthz/etcd"), True),
        ([{"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}], Attributes("get", path="/healthz"), False),
        ([{"verbs": ["*"], "nonResourceURLs": ["*"]}], Attributes("get", path="/x"), True),
        ([{"verbs": ["get"], "nonResourceURLs": ["/*"]}], Attributes("get", resource="pods"), False),
        ([{}], Attributes("get", resource="pods"), False),
    ],
)
def test_a_rule_allows_what_it_allows_in_kubernetes(rules, attributes, allowed):
    assert rbac.allows(rules, attributes) is allowed


@pytest.mark.parametrize(
    ("owner", "servant", "covered"),
    [
        ([], [], True),
        ([], [READ_PODS], False),
        ([READ_PODS], [rule("get")], True),
        ([rule("get"), rule("list")], [READ_PODS], True),
        ([rule("get")], [READ_PODS], False),
        ([rule("*", "*", "*")], [READ_PODS], True),
        ([READ_PODS], [rule("*")], False),
        ([rule(resources="*/log")], [rule(resources="pods/log")], True),
        ([rule(resources="*")], [rule(resources="pods/log pods")], True),
        ([rule(names=["a", "b"])], [rule(names=["a"])], True),
        ([rule(names=["a"]), rule(names=["b"])], [rule(names=["a", "b"])], True),
        ([rule(names=["a"])], [rule()], False),
        ([rule()], [rule(names=["a"])], True),
        (
            [{"verbs": ["get"], "nonResourceURLs": ["/a/*"]}],
            [{"verbs": ["get"], "nonResourceURLs": ["/a/b", "/a/*"]}],
            True,
        ),
        ([{"verbs": ["get"], "nonResourceURLs": ["/a"]}], [{"verbs": ["get"], "nonResourceURLs": ["/a/*"]}], False),
    ],
)
def test_nobody_grants_more_than_they_hold(owner, servant, covered):
    assert rbac.covers(owner, servant) is covered


def test_what_is_missing_is_told_one_permission_each():
    missing = rbac.uncovered([rule("get")], [rule("get list", "", "pods services")])
    assert [rbac.show_rule(m) for m in missing] == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["list"]}',
        '{APIGroups:[""], Resources:["services"], Verbs:["get"]}',
        '{APIGroups:[""], Resources:["services"], Verbs:["list"]}',
    ]


def test_an_enormous_rule_is_refused_rather_than_looked_through():
    many = [str(i) for i in range(1000)]
    huge = {"verbs": many, "apiGroups": many, "resources": many}
    assert rbac.uncovered([READ_PODS], [huge]) == [huge]
    assert rbac.covers([rule("*", "*", "*")], [huge])


def role(name, *rules, **labels):
    return {"metadata": {"name": name, "labels": labels}, "rules": list(rules)}


def test_an_aggregated_role_holds_the_rules_of_all_that_it_selects_once():
    aggregate = {
        "metadata": {"name": "view"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "view"}}, {"matchLabels": {"also": "y"}}]},
    }
    others = [
        role("z", rule("get"), to="view"),
        role("a", rule("list"), rule("get"), also="y"),
        role("b", rule("*"), to="edit"),
        role("view", rule("watch"), to="view"),
    ]
    assert rbac.aggregate(aggregate, others) == [rule("list"), rule("get")]
    assert rbac.aggregate({"metadata": {"name": "x"}, "aggregationRule": {}}, others) == []


def test_an_aggregated_role_holds_what_one_that_it_selects_collects_and_circles_end():
    def collecting(name: str, term: str, **labels: str):
        rule = {"clusterRoleSelectors": [{"matchLabels": {"to": term}}]}
        return {**role(name, rule_of_old, **labels), "aggregationRule": rule}

    rule_of_old = rule("delete")  # a leftover, which the controller of a cluster would have replaced
    admin, edit, view = (
        collecting(name, name, to=wider) for name, wider in (("admin", "view"), ("edit", "admin"), ("view", "edit"))
    )
    others = [admin, edit, view, role("crd-view", rule("get"), to="view"), role("crd-edit", rule("*"), to="edit")]
    assert rbac.aggregate(admin, others) == rbac.aggregate(view, others) == [rule("*"), rule("get")]


words = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=2, unique=True)
rules = st.lists(
    st.fixed_dictionaries(
        {
            "verbs": words,
            "apiGroups": words,
            "resources": st.lists(st.sampled_from(["a", "a/s", "*/s", "*"]), max_size=2),
        },
        optional={"resourceNames": st.lists(st.sampled_from("xy"), max_size=2)},
    ),
    max_size=3,
)
requests = st.builds(
    Attributes,
    verb=st.sampled_from("abc"),
    group=st.sampled_from("abc"),
    resource=st.sampled_from("ab"),
    subresource=st.sampled_from(["", "s", "t"]),
    name=st.sampled_from(["", "x", "y"]),
)


@given(rules, rules, requests)
def test_rules_that_are_covered_allow_nothing_more(owner, servant, request):
    if rbac.covers(owner, servant) and rbac.allows(servant, request):
        assert rbac.allows(owner, request)
