"""API errors: constructors by meaning, one type. `StatusError` is the only exception that becomes an HTTP answer.

Reasons, codes and wording follow `metav1.Status` as kube-apiserver sends it (apimachinery, pkg/api/errors), because
clients branch on `reason` and people read `message`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that is wrong: an entry of `status.details.causes`."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def as_dict(self) -> Object:
        """The wire form (metav1.StatusCause)."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


class StatusError(Exception):
    """An answer of kind Status with `status: Failure`."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.retry_after = retry_after
        self.metadata: Object = {}  # ListMeta: `continue`, when a list may go on in another way
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    @classmethod
    def from_status(cls, status: Object) -> "StatusError":
        """The error that a server sent."""
        return cls(
            int(status.get("code") or 500),
            status.get("reason") or "Unknown",
            status.get("message") or "unknown",
            details=status.get("details"),
        )

    def status(self) -> Object:
        """The wire form (metav1.Status)."""
        out: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            out["details"] = self.details
        return out


def _qualified(group: str, resource: str) -> str:
    return f"{resource}.{group}" if group else resource


def _details(group: str, resource: str, name: str) -> Object:
    out: Object = {"name": name, "kind": resource}
    if group:
        out["group"] = group
    return out


def not_found(group: str, resource: str, name: str) -> StatusError:
    """The object does not exist."""
    message = f'{_qualified(group, resource)} "{name}" not found'
    return StatusError(404, "NotFound", message, details=_details(group, resource, name))


def path_not_found() -> StatusError:
    """No resource is served at this path."""
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(group: str, resource: str, name: str) -> StatusError:
    """A create of a name that is taken."""
    message = f'{_qualified(group, resource)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details=_details(group, resource, name))


def conflict(group: str, resource: str, name: str, why: str) -> StatusError:
    """The object is not in the state that the request needs, or has changed meanwhile."""
    message = f'Operation cannot be fulfilled on {_qualified(group, resource)} "{name}": {why}'
    return StatusError(409, "Conflict", message, details=_details(group, resource, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> StatusError:
    """The object's content is wrong: every wrong field at once."""
    parts = [f"{c.field}: {c.message}" if c.field else c.message for c in causes]
    listing = parts[0] if len(parts) == 1 else "[" + ", ".join(parts) + "]"
    details = _details(group, kind, name) | {"causes": [c.as_dict() for c in causes]}
    return StatusError(422, "Invalid", f'{_qualified(group, kind)} "{name}" is invalid: {listing}', details=details)


def bad_request(message: str) -> StatusError:
    """The request cannot be understood."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """Nobody that we know."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, resource: str, name: str, why: str) -> StatusError:
    """Known, but not allowed."""
    quoted = f' "{name}"' if name else ""
    message = f"{_qualified(group, resource)}{quoted} is forbidden: {why}"
    return StatusError(403, "Forbidden", message, details=_details(group, resource, name))


def method_not_allowed(message: str = "the server does not allow this method on the requested resource") -> StatusError:
    """The verb is not served here."""
    return StatusError(405, "MethodNotAllowed", message)


def not_acceptable(message: str) -> StatusError:
    """No media type that the client accepts can be produced."""
    return StatusError(406, "NotAcceptable", message)


def unsupported_media_type(message: str) -> StatusError:
    """The body's media type is not understood here."""
    return StatusError(415, "UnsupportedMediaType", message)


def gone(message: str) -> StatusError:
    """The requested revision was compacted."""
    return StatusError(410, "Expired", message)


def too_many_requests(message: str, retry_after: int = 1) -> StatusError:
    """Come back later."""
    return StatusError(429, "TooManyRequests", message, retry_after=retry_after)


def too_large(message: str) -> StatusError:
    """The body is larger than the server reads."""
    return StatusError(413, "RequestEntityTooLarge", message)


def internal(message: str) -> StatusError:
    """Our fault."""
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")


def unavailable(message: str) -> StatusError:
    """Not now: a part that the request needs is not there."""
    return StatusError(503, "ServiceUnavailable", message)
