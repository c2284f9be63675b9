from isthmus.machinery import conditions

THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def test_a_condition_is_built_without_empty_fields():
    assert conditions.build("Ready", True) == {"type": "Ready", "status": "True"}
    assert conditions.build("Ready", "Unknown", "R", "m", observed_generation=3) == {
        "type": "Ready",
        "status": "Unknown",
        "reason": "R",
        "message": "m",
        "observedGeneration": 3,
    }


def test_the_transition_time_changes_only_with_the_status():
    first = conditions.put(None, conditions.build("Ready", False, "A"), THEN)
    same = conditions.put(first, conditions.build("Ready", False, "B"), NOW)
    other = conditions.put(same, conditions.build("Ready", True), NOW)
    assert [c[0]["lastTransitionTime"] for c in (first, same, other)] == [THEN, THEN, NOW]
    assert same[0]["reason"] == "B"
    assert "reason" not in other[0]


def test_putting_keeps_the_order_and_changes_no_list_in_place():
    old = [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]
    new = conditions.put(old, conditions.build("A", False), NOW)
    assert [c["type"] for c in new] == ["A", "B"]
    assert old[0]["status"] == "True"
    assert [c["type"] for c in conditions.put(new, conditions.build("C", True), NOW)] == ["A", "B", "C"]


def test_the_same_condition_again_makes_an_equal_list():
    once = conditions.put([], conditions.build("A", True, "R"), THEN)
    assert conditions.put(once, conditions.build("A", True, "R"), NOW) == once


def test_conditions_are_found_in_objects_and_lists():
    obj = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert conditions.is_true(obj, "Ready")
    assert not conditions.is_true(obj, "Paused")
    assert not conditions.is_true({}, "Ready")
    assert conditions.of(obj, "Ready") is conditions.find(obj["status"]["conditions"], "Ready")
    assert conditions.find(None, "Ready") is None


def test_conditions_are_dropped_by_type():
    assert conditions.drop([{"type": "A"}, {"type": "B"}, {"type": "C"}], "A", "C", "D") == [{"type": "B"}]
    assert conditions.drop(None, "A") == []
