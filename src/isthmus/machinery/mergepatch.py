"""JSON merge patch (RFC 7386): `application/merge-patch+json`, the patch of custom resources and of `kubectl label`.

Pure: the result shares what it can with its inputs (so that managedfields can skip by identity what did not change)
and neither input is written to. Called by: the PATCH handler, controllers that compute their own patches.
"""

from typing import Any

from isthmus.machinery import jsonvalue


def apply(document: Any, patch: Any) -> Any:
    """The document with the patch applied (RFC 7386, section 2). A patch that is no object replaces everything."""
    if type(patch) is not dict:
        return patch
    out = dict(document) if type(document) is dict else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        elif type(value) is dict:
            out[name] = apply(out.get(name), value)
        else:
            out[name] = value
    return out


def diff(old: Any, new: Any) -> Any:
    """The smallest patch with `apply(old, patch) == new`; {} when there is nothing to do.

    A merge patch cannot say that a field is null: where `new` has null in an object, the patch deletes it.
    """
    if type(old) is not dict or type(new) is not dict:
        return new
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        was = old.get(name)
        if was is value:
            continue
        if type(was) is dict and type(value) is dict:
            if inner := diff(was, value):
                patch[name] = inner
        elif not jsonvalue.equal(was, value):
            patch[name] = value
    return patch
