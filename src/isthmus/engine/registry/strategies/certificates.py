"""CertificateSigningRequests: who asks is written in, what was asked for stays, approval and status change apart.

Sources: Kubernetes, pkg/registry/certificates/certificates, pkg/apis/certificates/validation. Who may ask for what, and
the certificate itself: auth/certificaterequests.
"""

import base64
import binascii
from typing import Any

from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.lib import clock
from isthmus.machinery import causes, names
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
RESOURCE = "certificatesigningrequests.certificates.k8s.io"
DECIDED = ("Approved", "Denied")
_BEGIN, _END = b"-----BEGIN CERTIFICATE REQUEST-----", b"-----END CERTIFICATE REQUEST-----"
_SHORTEST = 600  # seconds


def _prepare(new: Object, old: Object | None, context: WriteContext) -> None:
    if old is None:
        spec = {k: v for k, v in (new.get("spec") or {}).items() if k not in ("uid", "extra")}
        new["spec"] = {**spec, "username": context.user, "groups": list(context.groups)}
        new["status"] = {}
        return
    new["spec"] = old["spec"]
    before = old.get("status") or {}
    given = (new.get("status") or {}).get("conditions") or []
    if context.subresource == "approval":
        new["status"] = {**before, "conditions": _timed(given)}
    elif context.subresource == "status":
        decided = [c for c in before.get("conditions") or [] if c.get("type") in DECIDED]
        others = [c for c in given if c.get("type") not in DECIDED]
        new["status"] = {**(new.get("status") or {}), "conditions": _timed([*decided, *others])}


def _timed(conditions: list[Object]) -> list[Object]:
    now = clock.timestamp()
    return [{"status": "True", "lastUpdateTime": now, "lastTransitionTime": now, **c} for c in conditions]


def _validate(new: Object, old: Object | None, _context: WriteContext) -> list[Cause]:
    if old is not None:
        kinds = {c.get("type") for c in (new.get("status") or {}).get("conditions") or ()}
        both = kinds.issuperset(DECIDED)
        return [causes.invalid("status.conditions", "Denied", "Approved and Denied are mutually exclusive")] * both
    spec, wrong = new["spec"], list[Cause]()
    request = pem(spec)
    if not (request.strip().startswith(_BEGIN) and request.strip().endswith(_END)):
        detail = "PEM block type must be CERTIFICATE REQUEST"
        wrong.append(causes.invalid("spec.request", spec.get("request", ""), detail))
    if not spec.get("usages"):
        wrong.append(causes.required("spec.usages"))
    signer = spec.get("signerName") or ""
    if not signer:
        wrong.append(causes.required("spec.signerName"))
    elif "/" not in signer or any(names.dns1123_subdomain(part) for part in signer.split("/", 1)):
        detail = 'must be a fully qualified domain and path of the form "example.com/signer-name"'
        wrong.append(causes.invalid("spec.signerName", signer, detail))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        wrong.append(causes.invalid("spec.expirationSeconds", seconds, detail))
    return wrong


def pem(spec: Object) -> bytes:
    """The request in PEM; empty if it is not even base64."""
    try:
        return base64.b64decode(spec.get("request") or "", validate=True)
    except binascii.Error:
        return b""


register(RESOURCE, Strategy(prepare=_prepare, validate=_validate, generation=False))
