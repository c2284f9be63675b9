"""CEL rules of CRDs: what they see, when they are judged, how they say what is wrong."""

import pytest

from isthmus.kinds import catalogue
from isthmus.machinery import celrules, structuralschema
from isthmus.machinery.schema import Node

RULES = "x-kubernetes-validations"


def node(properties, **root) -> Node:
    return Node({"type": "object", "properties": properties, **root}, {})


def messages(obj, schema, old=None) -> list[tuple[str, str]]:
    return [(c.field, c.message) for c in structuralschema.validate(obj, schema, old=old)]


REPLICAS = node(
    {
        "spec": {
            "type": "object",
            "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}, "mode": {"type": "string"}},
            RULES: [
                {
                    "rule": "self.min <= self.max",
                    "messageExpression": "'min ' + string(self.min) + ' is over ' + string(self.max)",
                    "fieldPath": ".min",
                },
                {
                    "rule": "!has(self.mode) || self.mode in ['a', 'b']",
                    "message": "no such mode",
                    "reason": "FieldValueForbidden",
                },
            ],
        }
    }
)  # fmt: skip


def test_a_rule_that_does_not_hold_names_its_field_reason_and_message() -> None:
    assert messages({"spec": {"min": 1, "max": 2}}, REPLICAS) == []
    wrong = messages({"spec": {"min": 3, "max": 2, "mode": "c"}}, REPLICAS)
    assert wrong == [
        ("spec.min", 'Invalid value: "object": min 3 is over 2'),
        ("spec", "Forbidden: no such mode"),
    ]


def test_a_rule_that_stumbles_refuses_and_says_why() -> None:
    found = messages({"spec": {"min": 1}}, REPLICAS)
    said = "no such key: max evaluating rule: failed rule: self.min <= self.max"
    assert found == [("spec.min", f'Invalid value: "object": {said}')]


def test_rules_wait_until_the_shape_is_right() -> None:
    found = messages({"spec": {"min": "x", "max": 0}}, REPLICAS)
    assert [field for field, _ in found] == ["spec.min"] and "must be of type integer" in found[0][1]


def test_a_place_that_is_as_it_was_is_not_judged_again() -> None:
    wrong = {"spec": {"min": 3, "max": 2}}
    assert messages(wrong | {"status": {}}, REPLICAS, old=wrong) == []
    assert messages({"spec": {"min": 4, "max": 2}}, REPLICAS, old=wrong) != []


FIXED = node({"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, RULES: [{"rule": "self == oldSelf", "message": "spec is immutable"}]}})  # fmt: skip  # noqa: E501


def test_a_rule_about_the_change_is_judged_on_updates_only() -> None:
    assert messages({"spec": {"a": 1}}, FIXED) == []
    assert messages({"spec": {"a": 1}}, FIXED, old={"spec": {"a": 1}}) == []
    assert messages({"spec": {"a": 2}}, FIXED, old={"spec": {"a": 1}}) == [
        ("spec", 'Invalid value: "object": spec is immutable')
    ]
    assert messages({"spec": {"a": 2}}, FIXED, old={}) == [], "there was nothing that could have changed"


def test_an_optional_old_self_lets_a_rule_judge_creation_too() -> None:
    rule = {"rule": "oldSelf.hasValue() || self == 'new'", "optionalOldSelf": True}
    schema = node({"phase": {"type": "string", RULES: [rule]}})
    assert messages({"phase": "new"}, schema) == []
    assert messages({"phase": "done"}, schema) != []
    assert messages({"phase": "done"}, schema, old={"phase": "new"}) == []


def test_list_items_are_found_again_by_their_keys() -> None:
    item = {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}
    item[RULES] = [{"rule": "self.v >= oldSelf.v"}]
    listed = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    schema = node({"l": listed})
    old = {"l": [{"k": "a", "v": 5}, {"k": "b", "v": 1}]}
    assert messages({"l": [{"k": "b", "v": 2}, {"k": "a", "v": 5}, {"k": "c", "v": 0}]}, schema, old=old) == []
    found = messages({"l": [{"k": "b", "v": 2}, {"k": "a", "v": 4}]}, schema, old=old)
    assert [field for field, _ in found] == ["l[1]"]


def test_rules_see_field_names_escaped_numbers_typed_and_little_of_metadata() -> None:
    properties = {"a-b": {"type": "integer"}, "for": {"type": "string"}, "ratio": {"type": "number"}}
    rules = [
        "self.a__dash__b == 1 && self.__for__ == 'x' && self.ratio / 2.0 == 0.5",
        "self.metadata.name == 'n' && !has(self.metadata.labels)",
    ]
    schema = Node({"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": properties, RULES: [{"rule": r} for r in rules]}, {})  # fmt: skip  # noqa: E501
    obj = {"a-b": 1, "for": "x", "ratio": 1, "metadata": {"name": "n", "labels": {"a": "b"}}}
    assert messages(obj, schema) == []


@pytest.mark.parametrize(
    "rule",
    [
        "quantity(self.q).isGreaterThan(quantity('500Mi')) && quantity('1Gi') == quantity('1024Mi')",
        "self.l.isSorted() && self.l.sum() == 6 && self.l.max() == 3 && self.l.indexOf(2) == 1",
        "self.s.find('[0-9]+') == '12' && self.s.findAll('[0-9]').size() == 2",
        "url(self.u).getHostname() == 'h' && isURL(self.u) && !isURL('x')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && ip('::1').family() == 6",
        "self.s.lowerAscii().split('-').size() == 2 && self.?none.orValue('d') == 'd'",
        "self.l.all(x, x > 0) && self.l.exists_one(x, x == 2)",
    ],
)
def test_kubernetes_own_functions_are_there(rule: str) -> None:
    schema = Node({"type": "object", "x-kubernetes-preserve-unknown-fields": True, RULES: [{"rule": rule}]}, {})
    obj = {"q": "1Gi", "l": [1, 2, 3], "s": "A-12", "u": "https://h:8443/p?q=1"}
    assert messages(obj, schema) == []


def test_an_evaluation_is_bounded() -> None:
    rule = "self.all(a, self.all(b, self.all(c, self.all(d, a + b + c + d >= 0))))"
    schema = node({"l": {"type": "array", "items": {"type": "integer"}, RULES: [{"rule": rule}]}})
    assert "budget" in messages({"l": list(range(200))}, schema)[0][1]


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"rule": "self.x ="}, "rule"),
        ({"rule": "'text'"}, "rule"),
        ({"rule": ""}, "rule"),
        ({"rule": "true", "messageExpression": "1 == 1"}, "messageExpression"),
        ({"rule": "true", "optionalOldSelf": True}, "optionalOldSelf"),
        ({"rule": "true", "reason": "Sunday"}, "reason"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_the_definition(rule, field) -> None:
    causes = list(celrules.check({"properties": {"spec": {"items": {RULES: [rule]}}}}, "s"))
    assert [c.field for c in causes] == [f"s.properties[spec].items.{RULES}[0].{field}"]


def test_the_rules_of_our_own_definitions_compile() -> None:
    for crd in catalogue.own_crds():
        for version in crd["spec"]["versions"]:
            assert list(celrules.check(version["schema"]["openAPIV3Schema"], crd["metadata"]["name"])) == []


def test_kubevirts_backups_carry_their_rules() -> None:
    kind = next(k for k in catalogue.builtin_kinds() if k.kind == "VirtualMachineBackup")
    schema = catalogue.schema_node(kind, kind.storage_version)
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "v"}
    good = {"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": "b"}}
    good["spec"] = {"source": source, "pvcName": "p"}
    assert structuralschema.validate(good, schema) == []
    for source_change, said in (({"kind": "Pod"}, "kind must be VirtualMachine"), ({"name": ""}, "name is required")):
        wrong = good | {"spec": {"source": source | source_change, "pvcName": "p"}}
        assert said in str(structuralschema.validate(wrong, schema))
    changed = good | {"spec": {"source": source, "pvcName": "other"}}
    assert "immutable" in str(structuralschema.validate(changed, schema, old=good))


def test_a_rule_over_a_field_that_is_not_there_does_not_compile() -> None:
    rules = [{"rule": "self.nope == 1"}]
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {}, celrules.KEY: rules}}}
    (wrong,) = celrules.check(schema, "openAPIV3Schema")
    assert wrong.field == f"openAPIV3Schema.properties[spec].{celrules.KEY}[0].rule"
    assert "compilation failed: undefined field 'nope'" in wrong.message
