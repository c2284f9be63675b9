"""The options of a request that are wrong by themselves: 422 of the options' own kind, as kube-apiserver has it.

Client libraries branch on `Invalid` (an informer, for one, falls back from a streamed list to a plain one).
Sources: apimachinery, pkg/apis/meta/v1/validation and pkg/apis/meta/internalversion/validation.
"""

from collections.abc import Mapping
from typing import Any

from isthmus.machinery import causes, errors, objectmeta

KINDS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions", "apply": "PatchOptions"}
DELETE, LIST = "DeleteOptions", "ListOptions"
VALIDATIONS = ("", "Ignore", "Strict", "Warn")
POLICIES = ("Background", "Foreground", "Orphan")
MATCH = "resourceVersionMatch"
ALONE = "forbidden for watch unless sendInitialEvents is provided"


def refuse(kind: str, wrong: list[errors.Cause]) -> None:
    """Raises StatusError 422 if anything is wrong."""
    if wrong:
        raise errors.invalid("meta.k8s.io", kind, "", wrong)


def is_dry_run(asked: Any, kind: str) -> bool:
    """Whether `dryRun` of a query or of a body asks for it. Raises StatusError 422 for anything but All."""
    if not asked:
        return False
    values = asked if isinstance(asked, list) else [asked]
    refuse(kind, [causes.not_supported("dryRun", values, ("All",))] if values != ["All"] else [])
    return True


def check_write(query: Mapping[str, str], verb: str) -> None:
    """`fieldValidation` and `fieldManager`. Raises StatusError 422."""
    wrong = []
    if (asked := query.get("fieldValidation", "")) not in VALIDATIONS:
        wrong.append(causes.not_supported("fieldValidation", asked, VALIDATIONS))
    if manager := query.get("fieldManager"):
        wrong += objectmeta.validate_field_manager(manager)
    refuse(KINDS.get(verb, DELETE), wrong)


def check_delete(options: Mapping[str, Any]) -> None:
    """How dependents are treated. Raises StatusError 422."""
    wrong, policy = [], options.get("propagationPolicy")
    if policy is not None and options.get("orphanDependents") is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        wrong.append(causes.invalid("propagationPolicy", policy, why))
    elif policy not in (None, *POLICIES):
        wrong.append(causes.not_supported("propagationPolicy", policy, (*POLICIES, "nil")))
    refuse(DELETE, wrong)


def check_list(query: Mapping[str, str]) -> None:
    """What a list asks of revisions. Raises StatusError 422."""
    wrong, match = [], query.get(MATCH, "")
    if match:
        revision = query.get("resourceVersion", "")
        if not revision:
            wrong.append(causes.forbidden(MATCH, f"{MATCH} is forbidden unless resourceVersion is provided"))
        if query.get("continue"):
            wrong.append(causes.forbidden(MATCH, f"{MATCH} is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            wrong.append(causes.not_supported(MATCH, match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and revision == "0":
            wrong.append(causes.forbidden(MATCH, f'{MATCH} "exact" is forbidden for resourceVersion "0"'))
    if "sendInitialEvents" in query:
        wrong.append(causes.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    refuse(LIST, wrong)


def check_watch(query: Mapping[str, str]) -> None:
    """What a watch asks of revisions. Raises StatusError 422."""
    wrong, match, streamed = [], query.get(MATCH, ""), "sendInitialEvents" in query
    if streamed and match != "NotOlderThan":
        wrong.append(causes.forbidden(MATCH, f"sendInitialEvents requires setting {MATCH} to NotOlderThan"))
    if match:
        if not streamed:
            wrong.append(
                causes.forbidden(MATCH, f"{MATCH} is forbidden for watch unless sendInitialEvents is provided")
            )
        if match != "NotOlderThan":
            wrong.append(causes.not_supported(MATCH, match, ("NotOlderThan",)))
        if query.get("continue"):
            wrong.append(causes.forbidden(MATCH, f"{MATCH} is forbidden when continue is provided"))
    refuse(LIST, wrong)
