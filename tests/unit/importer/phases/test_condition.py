"""The conditions of an import as it goes on."""

from isthmus.importer.phases import condition
from isthmus.machinery import conditions

BEGUN, LATER, LAST = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"


def state(found, kind):
    one = conditions.find(found, kind)
    return one["status"], one["reason"]


def test_an_import_begins_with_all_four_conditions_false():
    found = condition.begun(BEGUN, 1)
    assert [c["type"] for c in found] == ["Ready", "Transferred", "Converted", "Proven"]
    assert {c["status"] for c in found} == {"False"}
    assert {c["lastTransitionTime"] for c in found} == {BEGUN}


def test_a_finished_phase_sets_its_condition_and_the_time_of_that_one_only():
    found = condition.after(condition.begun(BEGUN, 1), "Transferring", {}, LATER)
    assert state(found, "Transferred") == ("True", "Written")
    assert conditions.find(found, "Transferred")["lastTransitionTime"] == LATER
    assert conditions.find(found, "Ready")["lastTransitionTime"] == BEGUN


def test_a_guest_in_compatibility_mode_is_not_converted():
    found = condition.after(
        condition.begun(BEGUN, 1), "Converting", {"conversion": {"converter": "Compatibility"}}, LATER
    )
    assert state(found, "Converted") == ("False", "Compatibility")


def test_an_inconclusive_proof_is_unknown_and_a_skipped_one_is_false():
    for verdict, expected in (("Passed", "True"), ("Inconclusive", "Unknown"), ("Skipped", "False")):
        found = condition.after(condition.begun(BEGUN, 1), "Proving", {"proof": {"verdict": verdict}}, LATER)
        assert state(found, "Proven") == (expected, verdict)


def test_copying_again_takes_back_that_the_disks_were_transferred():
    found = condition.after(condition.begun(BEGUN, 1), "Transferring", {}, LATER)
    assert state(condition.again(found, LAST), "Transferred") == ("False", "TransferringAgain")


def test_a_failure_says_where_and_takes_back_what_was_cleaned_up():
    found = condition.after(condition.begun(BEGUN, 1), "Transferring", {}, LATER)
    found = condition.failed(found, "Converting", "no guest", LAST, 1)
    assert state(found, "Ready") == ("False", "ConvertingFailed")
    assert state(found, "Transferred") == ("False", "CleanedUp")
    assert state(found, "Converted") == ("False", "Failed")
    assert state(found, "Proven") == ("False", "Pending")
