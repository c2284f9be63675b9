"""Tokens for uploads: whoever has one may fill one PVC, for five minutes (CDI's UploadTokenRequest).

POST …/uploadtokenrequests -> `issue`, by `reviews`; the token comes back in a request to `upload`, which unseals it
"""

import base64
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any

import orjson

from isthmus.engine.server.context import Call
from isthmus.machinery import errors

Object = dict[str, Any]

REQUESTS = "uploadtokenrequests.upload.cdi.kubevirt.io"
SECONDS = 300
TARGET = "cdi.kubevirt.io/storage.upload.target"
POD_PHASE = "cdi.kubevirt.io/storage.pod.phase"
_KEY = secrets.token_bytes(32)  # tokens live no longer than this process: virtctl asks for another one then


@dataclass(frozen=True, slots=True)
class Target:
    """What a token is for."""

    namespace: str
    claim: str


def issue(call: Call, review: Object) -> Object:
    """The status of an UploadTokenRequest. Raises StatusError 404, 503."""
    name = str((review.get("spec") or {}).get("pvcName") or "")
    claim = call.server.storage.lookup("persistentvolumeclaims", call.info.namespace, name)
    if claim is None:
        raise errors.not_found("", "persistentvolumeclaims", name)
    check_target(claim)
    return {"token": seal(Target(call.info.namespace, name), time.time() + SECONDS)}


def seal(target: Target, expires: float) -> str:
    """A token. Whoever has it may fill that one PVC until then."""
    payload = base64.urlsafe_b64encode(orjson.dumps([target.namespace, target.claim, expires]))
    return f"{payload.decode()}.{_sign(payload)}"


def unseal(token: str, now: float) -> Target:
    """What a token is for. Raises StatusError 401 if it is not ours, or expired."""
    payload, _, signature = token.partition(".")
    if not hmac.compare_digest(signature.encode(), _sign(payload.encode()).encode()):
        raise errors.unauthorized()
    namespace, claim, expires = orjson.loads(base64.urlsafe_b64decode(payload))
    if now >= expires:
        raise errors.unauthorized()
    return Target(namespace, claim)


def _sign(payload: bytes) -> str:
    return hmac.new(_KEY, payload, hashlib.sha256).hexdigest()


def check_target(claim: Object) -> None:
    """Whether a PVC may be filled by an upload. Raises StatusError 503."""
    annotations = claim["metadata"].get("annotations") or {}
    name = claim["metadata"]["name"]
    if TARGET not in annotations:
        raise errors.unavailable(f"PVC {name} is not an upload target")
    if annotations.get(POD_PHASE) == "Succeeded":
        raise errors.unavailable(f"PVC {name} already successfully imported")
