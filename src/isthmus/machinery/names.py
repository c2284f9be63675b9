"""What may be a name, a label and an annotation key in Kubernetes, and the making of a name from `generateName`.

Each check returns the complaints in kube-apiserver's words (apimachinery, api/validate/content), none if all is well.
Used by: objectmeta, labels, structuralschema, the strategies of single kinds.
"""

import re
import secrets
from collections.abc import Callable

NameCheck = Callable[[str], list[str]]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = rf"({_KEY})?"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"

_is_label = re.compile(_LABEL, re.ASCII).fullmatch
# The same language as _SUBDOMAIN; the nested form above would backtrack without need.
_is_subdomain = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+", re.ASCII).fullmatch
_is_dns1035 = re.compile(_DNS1035, re.ASCII).fullmatch
_is_key = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?", re.ASCII).fullmatch
_is_value = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?", re.ASCII).fullmatch
_is_config_key = re.compile(_CONFIG_KEY, re.ASCII).fullmatch

_ALPHANUMERIC_ENDS = "and must start and end with an alphanumeric character"
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', " + _ALPHANUMERIC_ENDS
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    + _ALPHANUMERIC_ENDS
)
_DNS1035_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_KEY_RULE = f"must consist of alphanumeric characters, '-', '_' or '.', {_ALPHANUMERIC_ENDS}"
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    + _ALPHANUMERIC_ENDS
)
_CONFIG_KEY_RULE = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_OPTIONAL_PREFIX = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"

LABEL_MAX = 63
SUBDOMAIN_MAX = 253

# No vowels and no 0, 1, 3: no words, no look-alikes (apimachinery, util/rand).
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_GENERATED_MAX = 63


def explain_pattern(rule: str, pattern: str, *examples: str) -> str:
    """A rule with examples and its regular expression, as Kubernetes words it."""
    shown = " or ".join(f"'{e}', " for e in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{pattern}')"


def _too_long(value: str, limit: int) -> list[str]:
    return [f"must be no more than {limit} bytes"] if len(value.encode("utf-8", "surrogatepass")) > limit else []


def dns1123_label(value: str) -> list[str]:
    """RFC 1123 label: namespaces, container names, most parts of a host name."""
    if len(value) <= LABEL_MAX and _is_label(value):
        return []
    out = _too_long(value, LABEL_MAX)
    if not _is_label(value):
        dotted = _is_subdomain(value)
        out.append("must not contain dots" if dotted else explain_pattern(_LABEL_RULE, _LABEL, "my-name", "123-abc"))
    return out


def dns1123_subdomain(value: str) -> list[str]:
    """RFC 1123 subdomain: the name of most objects."""
    if len(value) <= SUBDOMAIN_MAX and _is_subdomain(value):
        return []
    out = _too_long(value, SUBDOMAIN_MAX)
    if not _is_subdomain(value):
        out.append(explain_pattern(_SUBDOMAIN_RULE, _SUBDOMAIN, "example.com"))
    return out


def dns1035_label(value: str) -> list[str]:
    """RFC 1035 label: the names of Services and of a CRD's versions and plurals."""
    out = _too_long(value, LABEL_MAX)
    if not _is_dns1035(value):
        out.append(explain_pattern(_DNS1035_RULE, _DNS1035, "my-name", "abc-123"))
    return out


def path_segment(value: str) -> list[str]:
    """A name that only has to fit into a URL path: RBAC objects, such as "system:node"."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{c}'" for c in "/%" if c in value]


def label_key(value: str) -> list[str]:
    """A label key, an annotation key (in lower case) or a finalizer: `[prefix/]name`."""
    if len(value) <= LABEL_MAX and _is_key(value):
        return []
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        return [
            "a valid label key " + explain_pattern(_KEY_RULE, _KEY, "MyName", "my.name", "123-abc") + _OPTIONAL_PREFIX
        ]
    out: list[str] = []
    if slash:
        complaints = dns1123_subdomain(prefix) if prefix else ["must be non-empty"]
        out += [f"prefix part {c}" for c in complaints]
    if not name:
        out.append("name part must be non-empty")
    out += [f"name part {c}" for c in _too_long(name, LABEL_MAX)]
    if not _is_key(name):
        out.append("name part " + explain_pattern(_KEY_RULE, _KEY, "MyName", "my.name", "123-abc"))
    return out


def label_value(value: str) -> list[str]:
    """A label value: may be empty."""
    if len(value) <= LABEL_MAX and _is_value(value):
        return []
    out = _too_long(value, LABEL_MAX)
    if not _is_value(value):
        out.append(explain_pattern(_VALUE_RULE, _VALUE, "MyValue", "my_value", "12345"))
    return out


def config_key(value: str) -> list[str]:
    """A key of a ConfigMap's or Secret's data."""
    out = _too_long(value, SUBDOMAIN_MAX)
    if not _is_config_key(value):
        out.append(explain_pattern(_CONFIG_KEY_RULE, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if value in (".", ".."):
        out.append(f"must not be '{value}'")
    elif value.startswith(".."):
        out.append("must not start with '..'")
    return out


def of_prefix(check: NameCheck, prefix: str) -> list[str]:
    """Complaints about a generateName: what follows it may mend a trailing dash (apimachinery, maskTrailingDash)."""
    return check(prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix)


def generate(prefix: str) -> str:
    """`prefix` and five random characters of Kubernetes' alphabet; the prefix is cut so that 63 are not exceeded."""
    suffix = "".join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX_LENGTH))
    return prefix[: _GENERATED_MAX - _SUFFIX_LENGTH] + suffix
