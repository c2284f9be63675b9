"""JSON patch (RFC 6902) with JSON pointers (RFC 6901): `application/json-patch+json`.

KubeVirt's own clients lean on `test` as a compare-and-swap, so a failed one has a type of its own. Pure: the document
and the operations are never written to; containers are copied when first written through, so a one-field patch of a
large object copies one path. Called by: the PATCH handler, mutating webhooks' answers.

Raises only StatusError, as kube-apiserver answers:
  400 BadRequest                 the patch is no list of operations, or an operation is malformed
  413 RequestEntityTooLarge      more than MAX_OPERATIONS operations
  422 Invalid: OperationFailed   an operation does not apply to this document (`index` says which)
               └ TestFailed      it was a `test`
"""

import json
from collections.abc import Callable
from typing import Any

from isthmus.machinery import errors, jsonvalue

MAX_OPERATIONS = 10_000  # maxJSONPatchOperations of kube-apiserver
MAX_COPY_BYTES = 3 * 1024 * 1024  # its JSONPatchMaxCopyBytes: what all `copy` operations together may add
MAX_POINTER_TOKENS = 200  # deeper documents cannot be encoded anyway
END = "-"  # as the last token: behind the last item of a list (RFC 6901, section 4)

Object = dict[str, Any]
Pointer = tuple[str, ...]


class OperationFailed(errors.StatusError):
    """An operation does not apply to the document."""

    def __init__(self, index: int, operation: Object, why: str) -> None:
        op, path = operation.get("op"), operation.get("path")
        message = f"the JSON patch does not apply: operation {index} ({op} {path!r}): {why}"
        cause = errors.Cause(f"patch[{index}]", why)
        super().__init__(422, "Invalid", message, details={"causes": [cause.as_dict()]})
        self.index = index


class TestFailed(OperationFailed):
    """The document does not hold what a `test` operation expects."""

    __test__ = False  # it is no test case


class _MismatchError(Exception):
    """Why an operation does not apply; becomes OperationFailed."""


class _TestMismatchError(_MismatchError):
    pass


def apply(document: Any, operations: Any) -> Any:
    """The document after all operations, in order; the first that fails raises and nothing is changed."""
    if type(operations) is not list:
        raise errors.bad_request("a JSON patch is a list of operations")
    if len(operations) > MAX_OPERATIONS:
        limit = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise errors.too_large(limit)
    draft = _Draft(document)
    for index, operation in enumerate(operations):
        run, path = _parse(index, operation)
        try:
            run(draft, operation, path)
        except _TestMismatchError as mismatch:
            raise TestFailed(index, operation, str(mismatch)) from None
        except _MismatchError as mismatch:
            raise OperationFailed(index, operation, str(mismatch)) from None
    return draft.root


def parse_pointer(text: Any) -> Pointer:
    """The reference tokens of a JSON pointer; () is the whole document. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError("a JSON pointer is a string")
    if not text:
        return ()
    if text[0] != "/":
        raise ValueError(f'a JSON pointer is empty or starts with "/", not {text[:64]!r}')
    if "~" in text and "~" in text.replace("~0", "").replace("~1", ""):
        raise ValueError('in a JSON pointer "~" stands only in ~0 (for "~") and ~1 (for "/")')
    tokens = tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))
    if len(tokens) > MAX_POINTER_TOKENS:
        raise ValueError(f"the JSON pointer has more than {MAX_POINTER_TOKENS} parts")
    return tokens


def _parse(index: int, operation: Any) -> "tuple[_Run, Pointer]":
    if type(operation) is not dict:
        raise errors.bad_request(f"JSON patch operation {index} is no object")
    op = operation.get("op")
    if not isinstance(op, str) or op not in _OPERATIONS:
        raise errors.bad_request(f"JSON patch operation {index}: op is one of {', '.join(_OPERATIONS)}, not {op!r}")
    run, needed = _OPERATIONS[op]
    if needed not in operation:
        raise errors.bad_request(f"JSON patch operation {index} ({op}) has no {needed!r}")
    try:
        if needed == "from":
            parse_pointer(operation["from"])
        return run, parse_pointer(operation.get("path"))
    except ValueError as error:
        raise errors.bad_request(f"JSON patch operation {index} ({op}): {error}") from None


def _missing(token: str) -> _MismatchError:
    return _MismatchError(f"{token!r} does not exist")


def _position(items: list[Any], token: str, *, end: int) -> int:
    """A token as a list index below `end`."""
    if not (token.isascii() and token.isdigit()) or (len(token) > 1 and token.startswith("0")):
        raise _MismatchError(f"{token[:64]!r} is no list index")
    position = int(token) if len(token) < 12 else end
    if position >= end:
        raise _MismatchError(f"index {token[:64]} is out of range: the list has {len(items)} items")
    return position


def _child(parent: Any, token: str) -> Any:
    if type(parent) is dict:
        if token not in parent:
            raise _missing(token)
        return parent[token]
    if type(parent) is list:
        return parent[_position(parent, token, end=len(parent))]
    raise _MismatchError(f"{token!r} is looked for in a value that is neither object nor list")


class _Draft:
    """The document while it is patched, copied on write.

    `_mine` holds the containers that this draft made (by id, with a reference that keeps the id from being reused).
    Each stands in the document once: what a `copy` inserts is copied in depth, within MAX_COPY_BYTES.
    """

    def __init__(self, root: Any) -> None:
        self.root = root
        self._mine: dict[int, Any] = {}
        self._copied = 0

    def get(self, path: Pointer) -> Any:
        value = self.root
        for token in path:
            value = _child(value, token)
        return value

    def _writable(self, value: Any) -> Any:
        if id(value) in self._mine or type(value) not in (dict, list):
            return value
        value = value.copy()
        self._mine[id(value)] = value
        return value

    def _parent(self, path: Pointer) -> Any:
        """The container of the path's last token, writable."""
        here = self.root = self._writable(self.root)
        for token in path[:-1]:
            below = _child(here, token)
            mine = self._writable(below)
            if mine is not below:
                here[token if type(here) is dict else int(token)] = mine
            here = mine
        return here

    def add(self, path: Pointer, value: Any) -> None:
        if not path:
            self.root = value
            return
        parent, token = self._parent(path), path[-1]
        if type(parent) is dict:
            parent[token] = value
        elif type(parent) is list:
            at = len(parent) if token == END else _position(parent, token, end=len(parent) + 1)
            parent.insert(at, value)
        else:
            raise _MismatchError("the parent is neither object nor list")

    def replace(self, path: Pointer, value: Any) -> None:
        if not path:
            self.root = value
            return
        parent, token = self._parent(path), path[-1]
        _child(parent, token)
        parent[token if type(parent) is dict else int(token)] = value

    def remove(self, path: Pointer) -> Any:
        if not path:
            raise _MismatchError("the whole document cannot be removed")
        parent, token = self._parent(path), path[-1]
        _child(parent, token)
        return parent.pop(token if type(parent) is dict else int(token))

    def copied(self, value: Any) -> Any:
        if type(value) not in (dict, list):
            return value
        text = json.dumps(value, ensure_ascii=False)
        self._copied += len(text)
        if self._copied > MAX_COPY_BYTES:
            raise _MismatchError(f"all copies together are larger than {MAX_COPY_BYTES} bytes")
        return json.loads(text)


_Run = Callable[[_Draft, Object, Pointer], None]


def _add(draft: _Draft, operation: Object, path: Pointer) -> None:
    draft.add(path, operation["value"])


def _replace(draft: _Draft, operation: Object, path: Pointer) -> None:
    draft.replace(path, operation["value"])


def _remove(draft: _Draft, _operation: Object, path: Pointer) -> None:
    draft.remove(path)


def _move(draft: _Draft, operation: Object, path: Pointer) -> None:
    source = parse_pointer(operation["from"])
    if source == path:
        draft.get(source)
        return
    if path[: len(source)] == source:
        raise _MismatchError(f"{operation['from']!r} cannot be moved into itself")
    draft.add(path, draft.remove(source))


def _copy(draft: _Draft, operation: Object, path: Pointer) -> None:
    draft.add(path, draft.copied(draft.get(parse_pointer(operation["from"]))))


def _test(draft: _Draft, operation: Object, path: Pointer) -> None:
    try:
        found = draft.get(path)
    except _MismatchError as mismatch:
        raise _TestMismatchError(str(mismatch)) from None
    if not jsonvalue.equal(found, operation["value"]):
        raise _TestMismatchError("the value is another than expected")


_OPERATIONS: dict[str, tuple[_Run, str]] = {
    "add": (_add, "value"),
    "remove": (_remove, "path"),
    "replace": (_replace, "value"),
    "move": (_move, "from"),
    "copy": (_copy, "from"),
    "test": (_test, "value"),
}
