"""What JSON calls equal, for the merge code.

Python's `==` is not it: `True == 1`. A JSON patch's `test`, a leaf's change of owner and an apply that changes nothing
all need the strict answer. Called by: jsonpatch, typed, serversideapply.
"""

from typing import Any

import orjson


def equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same value: numbers by magnitude (1 is 1.0), booleans never numbers."""
    if left is right:
        return True
    kind = type(left)
    if kind is dict:
        return type(right) is dict and _equal_objects(left, right)
    if kind is list:
        return type(right) is list and len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right) and (kind is bool) is (type(right) is bool)


def _equal_objects(left: dict[str, Any], right: dict[str, Any]) -> bool:
    if len(left) != len(right):
        return False
    return all(name in right and equal(value, right[name]) for name, value in left.items())


def encode_to_keep(value: Any) -> bytes:
    """JSON bytes that stay: orjson's own result holds on to its whole buffer, several times what is in it."""
    return bytes(memoryview(orjson.dumps(value)))
