"""`x-kubernetes-validations`: the rules that a schema states in CEL, on creation and on update.

`schemavalidation` meets the places that have rules on its way through an object and names them (`Site`); when the
object is otherwise in its schema's shape, `evaluate` judges them, with the value that the same place had before.
A place that is as it was is not judged again, but by rules about the change itself (KEP-4008, ratcheting).
Semantics and wording: apiextensions-apiserver, pkg/apiserver/schema/cel. Values of the formats date-time, date and
duration are strings here; a rule that needs more of them than that is not enforced (`_Rules.inexact`), nor one that
uses a function which `celfunctions` lacks: what Kubernetes accepts is not refused here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from isthmus.machinery import causes, cel, celfields, celfunctions, jsonvalue
from isthmus.machinery.errors import Cause
from isthmus.machinery.pruning import Path, show_path
from isthmus.machinery.schema import Node

KEY = "x-kubernetes-validations"
REASONS = ("FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate")
_ROOT_METADATA = ("name", "generateName")  # what rules may see of an object's metadata
_TIMES = ("date-time", "date", "duration")
_MENTIONS_OLD = re.compile(r"\boldSelf\b").search
_NOT_A_NAME = {"_": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
# Names that are CEL's own; a field of such a name is spelled between underscores.
_RESERVED = frozenset(
    (
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"),
        *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
    )
)
_ABSENT = object()


class Site(NamedTuple):
    """A place of an object that has rules, and its value there."""

    path: Path
    value: Any
    node: Node


class _Rule(NamedTuple):
    text: str
    raw: Mapping[str, Any]
    program: cel.Program
    message: cel.Program | None
    about_change: bool
    optional: bool


class _Rules(NamedTuple):
    """The compiled rules of a node."""

    rules: Sequence[_Rule]
    inexact: bool  # there are times in the value, which CEL sees as strings


def evaluate(sites: Sequence[Site], new: Any, old: Any, root: Node) -> list[Cause]:
    """What the rules of `sites` find wrong in `new`, which `root` describes; `old` is what it replaces, or None."""
    out: list[Cause] = []
    for site in sites:
        before = _ABSENT if old is None else _before(new, old, root, site.path)
        unchanged = before is not _ABSENT and jsonvalue.equal(before, site.value)
        compiled = _compiled(site.node)
        chosen = [r for r in compiled.rules if _applies(r, unchanged=unchanged, has_old=before is not _ABSENT)]
        if not chosen:
            continue
        value = to_cel(site.value, site.node, root=not site.path)
        old_value = None if before is _ABSENT else to_cel(before, site.node, root=not site.path)
        for rule in chosen:
            judged = _judge(rule, value, old_value, has_old=before is not _ABSENT, inexact=compiled.inexact)
            if judged is not None:
                out.append(_cause(rule, show_path(site.path), site.node, judged))
    return out


def _applies(rule: _Rule, *, unchanged: bool, has_old: bool) -> bool:
    if rule.about_change:
        return has_old or rule.optional
    return not unchanged


def _judge(rule: _Rule, value: Any, old: Any, *, has_old: bool, inexact: bool) -> str | None:
    """What to say if the rule does not hold; None if it does."""
    try:
        if rule.program.evaluate(value, old, has_old=has_old) is True:
            return None
    except cel.CelError as error:
        if inexact and "overload" in str(error):
            return None
        return f"{error} evaluating rule: {_message(rule)}"
    if rule.message is not None:
        try:
            said = rule.message.evaluate(value, old, has_old=has_old)
        except cel.CelError:
            said = ""
        if isinstance(said, str) and said.strip() and "\n" not in said.strip():
            return said.strip()
    return _message(rule)


def _message(rule: _Rule) -> str:
    return str(rule.raw.get("message") or f"failed rule: {rule.text}").replace("\n", " ").strip()


def _cause(rule: _Rule, path: str, node: Node, message: str) -> Cause:
    path = f"{path}{_field_path(rule.raw.get('fieldPath') or '')}".removeprefix(".")
    match rule.raw.get("reason"):
        case "FieldValueForbidden":
            return causes.forbidden(path, message)
        case "FieldValueRequired":
            return causes.required(path, message)
        case "FieldValueDuplicate":
            return causes.duplicate(path, node.type or "object")
    return causes.invalid(path, node.type or "object", message)


def _field_path(said: str) -> str:
    """A rule's `fieldPath` as paths are shown: `.a['b']` is `.a[b]` of a map."""
    return re.sub(r"\['((?:[^'\\]|\\.)*)'\]", r"[\1]", said)


# -- values -----------------------------------------------------------------------------------------------------------


def _before(new: Any, old: Any, node: Node, path: Path) -> Any:
    """The value of a place before the update: found by name in objects, by keys in lists of type map, else absent."""
    for step in path:
        below = node.property(step) if isinstance(step, str) else node.items
        if below is None:
            return _ABSENT
        if isinstance(step, str):
            old = old.get(step, _ABSENT) if isinstance(old, dict) else _ABSENT
        else:
            old = _same_item(new[step], old, node)
        if old is _ABSENT:
            return _ABSENT
        new, node = new[step], below
    return old


def _same_item(item: Any, old: Any, node: Node) -> Any:
    if node.list_type != "map" or not isinstance(old, list):
        return _ABSENT
    wanted = _identity(item, node)
    return next((other for other in old if _identity(other, node) == wanted), _ABSENT)


def _identity(item: Any, node: Node) -> tuple[Any, ...]:
    defaults = dict(node.list_map_key_defaults)
    return tuple(item.get(k, defaults.get(k)) for k in node.list_map_keys) if isinstance(item, dict) else ()


def to_cel(value: Any, node: Node, *, root: bool = False) -> Any:
    """A JSON value as rules see it: names escaped, numbers of their schema's type, no nulls, little of metadata."""
    if isinstance(value, dict):
        return _to_map(value, node, root=root)
    if isinstance(value, list):
        items = node.items
        return [to_cel(item, items) for item in value] if items is not None else value
    if node.type == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if node.type == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _to_map(value: Mapping[str, Any], node: Node, *, root: bool) -> dict[str, Any]:
    names, out = node.property_names, {}
    for key, item in value.items():
        if item is None:
            continue
        if root and key == "metadata":
            out[key] = {k: item[k] for k in _ROOT_METADATA if isinstance(item, dict) and k in item}
            continue
        below = node.property(key)
        out[escape(key) if key in names else key] = to_cel(item, below) if below is not None else item
    return out


def escape(name: str) -> str:
    """A field's name as an identifier of CEL."""
    if name in _RESERVED:
        return f"__{name}__"
    if name.isidentifier() and "__" not in name:
        return name
    name = name.replace("__", _NOT_A_NAME["_"])
    for character in ".-/":
        name = name.replace(character, _NOT_A_NAME[character])
    return name


# -- compiling --------------------------------------------------------------------------------------------------------


def _compiled(node: Node) -> _Rules:
    kept = vars(node)
    if "_cel_rules" not in kept:
        rules = [_compile(raw) for raw in node.raw[KEY] if celfunctions.is_supported(raw["rule"])]
        kept["_cel_rules"] = _Rules(rules, _has_times(node.raw))
    compiled: _Rules = kept["_cel_rules"]
    return compiled


def _compile(raw: Mapping[str, Any]) -> _Rule:
    text, message = raw["rule"], raw.get("messageExpression")
    optional = bool(raw.get("optionalOldSelf"))
    said = cel.Program(message, optional=optional) if message and celfunctions.is_supported(message) else None
    about_change = bool(_MENTIONS_OLD(text))
    return _Rule(text, raw, cel.Program(text, optional=optional), said, about_change, optional)


def _has_times(raw: Any) -> bool:
    if isinstance(raw, Mapping):
        return raw.get("format") in _TIMES or any(_has_times(v) for k, v in raw.items() if k != "default")
    return isinstance(raw, list) and any(_has_times(item) for item in raw)


def check(raw: Any, path: str) -> Iterator[Cause]:
    """What is wrong with the rules of a CRD's schema, which is structural: they compile and give the right type."""
    if not isinstance(raw, Mapping):
        return
    for index, rule in enumerate(raw.get(KEY) or ()):
        yield from _check_rule(rule, f"{path}.{KEY}[{index}]")
        text = str(rule.get("rule") or "")
        if name := celfields.find_undefined(text, raw, root=path.endswith("openAPIV3Schema")):
            why = f"compilation failed: undefined field '{name}'"
            yield causes.invalid(f"{path}.{KEY}[{index}].rule", text, why)
    for name, below in (raw.get("properties") or {}).items():
        yield from check(below, f"{path}.properties[{name}]")
    for key in ("items", "additionalProperties"):
        yield from check(raw.get(key), f"{path}.{key}")


def _check_rule(rule: Mapping[str, Any], path: str) -> Iterator[Cause]:
    text = str(rule.get("rule") or "").strip()
    if not text:
        yield causes.required(f"{path}.rule", "rule is not specified")
        return
    optional = bool(rule.get("optionalOldSelf"))
    if optional and not _MENTIONS_OLD(text):
        why = "optionalOldSelf may only be set on rules that use oldSelf"
        yield causes.invalid(f"{path}.optionalOldSelf", True, why)
    if (reason := rule.get("reason")) is not None and reason not in REASONS:
        yield causes.not_supported(f"{path}.reason", reason, REASONS)
    if "\n" in str(rule.get("message") or ""):
        yield causes.invalid(f"{path}.message", rule["message"], "message must not contain line breaks")
    for field, wanted in (("rule", "BOOL"), ("messageExpression", "STRING")):
        if not (expression := rule.get(field)) or not celfunctions.is_supported(str(expression)):
            continue
        try:
            result = cel.Program(str(expression), optional=optional).result
        except cel.CelError as error:
            yield causes.invalid(f"{path}.{field}", expression, f"compilation failed: {error}")
            continue
        if result not in (wanted, "DYN"):
            kind = "bool" if wanted == "BOOL" else "string"
            yield causes.invalid(f"{path}.{field}", expression, f"must evaluate to {kind}")
