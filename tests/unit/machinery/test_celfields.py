"""Fields that a rule names and its schema does not have."""

import pytest

from isthmus.machinery import celfields

SPEC = {
    "type": "object",
    "properties": {
        "size": {"type": "integer"},
        "name-of": {"type": "string"},
        "in": {"type": "string"},
        "parts": {"type": "array", "items": {"type": "object"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "child": {"type": "object", "properties": {"x": {"type": "integer"}}},
        "pod": {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {}},
    },
}


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("self.size > 0", None),
        ("self.sise > 0", "sise"),
        ("has(self.child.x) && self.child.y == 1", "y"),
        ("self.parts.size() > 0 && self.parts.all(p, p.anything)", None),
        ("self.labels.app == self.free.more.yet", None),
        ("self.name__dash__of == self.__in__", None),
        ("self.pod.metadata.name == 'a' && self.pod.metadata.uid == ''", "uid"),
        ("'self.nothing' == \"self.nothing\" || myself.nothing == 1 || x.self.nothing", None),
        ("self.?nothing.orValue(1) == 1", None),
        ("self.size", None),
        ("self == oldSelf", None),
        ("self.metadata.name == 'a'", "metadata"),
    ],
)
def test_a_misspelt_field_is_found_where_the_schema_is_closed(rule, name) -> None:
    assert celfields.find_undefined(rule, SPEC, root=False) == name


def test_a_whole_object_has_a_name_besides() -> None:
    assert celfields.find_undefined("self.metadata.name == self.kind", SPEC, root=True) is None
    assert celfields.find_undefined("self.metadata.labels.size() > 0", SPEC, root=True) == "labels"
