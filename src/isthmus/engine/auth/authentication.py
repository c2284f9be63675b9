"""Finds out who asks by a client certificate. (By a bearer token: `tokens`; by neither: anonymous.)"""

from typing import Any

from isthmus.engine.auth.user import AUTHENTICATED, User

Object = dict[str, Any]


def from_certificate(certificate: Object | None) -> User | None:
    """The user that a verified client certificate names: CN the name, O the groups (ssl.getpeercert's form)."""
    if not certificate:
        return None
    subject = [(k, v) for part in certificate.get("subject", ()) for k, v in part]
    name = next((v for k, v in subject if k == "commonName"), "")
    groups = tuple(v for k, v in subject if k == "organizationName")
    return User(name, (*groups, AUTHENTICATED)) if name else None
