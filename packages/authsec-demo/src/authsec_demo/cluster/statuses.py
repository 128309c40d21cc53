"""The error responses of a kube-apiserver: `Status` objects with the messages of a real API server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """A refused request. `status` is the `Status` object for the response."""

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    @property
    def status(self) -> dict[str, Any]:
        """Return the `Status` object, which is the body of the response."""
        details = {} if self.details is None else {"details": dict(self.details)}
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **details,
            "code": self.code,
        }


def not_found(kind: str, name: str, group: str = "") -> Refusal:
    """Return a 404 for an object that does not exist. `kind` is the plural name, as in paths."""
    return Refusal(404, "NotFound", f'{_qualified(kind, group)} "{name}" not found', _details(kind, name, group))


def no_such_path() -> Refusal:
    """Return a 404 for an unknown path or resource."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def unauthorized() -> Refusal:
    """Return a 401 for invalid credentials. The response has no reason; only the server's log has the reason."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def forbidden(kind: str, name: str, group: str, why: str) -> Refusal:
    """Return a 403 for an authenticated user without permission for a resource."""
    what = f'{_qualified(kind, group)} "{name}"' if name else _qualified(kind, group)
    return Refusal(403, "Forbidden", f"{what} is forbidden: {why}", _details(kind, name, group))


def forbidden_path(why: str) -> Refusal:
    """Return a 403: the user lacks the permission for a path, and the path is not a resource."""
    return Refusal(403, "Forbidden", f"forbidden: {why}", {})


def already_exists(kind: str, name: str, group: str = "") -> Refusal:
    """Return a 409 for a name that is taken."""
    message = f'{_qualified(kind, group)} "{name}" already exists'
    return Refusal(409, "AlreadyExists", message, _details(kind, name, group))


def conflict(kind: str, name: str, group: str, why: str) -> Refusal:
    """Return a 409 for an object that is not the expected one, for example because its UID differs."""
    message = f'Operation cannot be fulfilled on {_qualified(kind, group)} "{name}": {why}'
    return Refusal(409, "Conflict", message, _details(kind, name, group))


def bad_request(message: str) -> Refusal:
    """Return a 400 for a request that the server cannot understand."""
    return Refusal(400, "BadRequest", message)


def invalid(kind: str, name: str, group: str, field: str, value: object, why: str) -> Refusal:
    """Return a 422 for an object with an invalid field. `kind` is the kind of the object, such as `Pod`."""
    shown = f'"{value}"' if isinstance(value, str) else value
    cause = f"Invalid value: {shown}: {why}"
    causes = [{"reason": "FieldValueInvalid", "message": cause, "field": field}]
    message = f'{_qualified(kind, group)} "{name}" is invalid: {field}: {cause}'
    return Refusal(422, "Invalid", message, {**_details(kind, name, group), "causes": causes})


def method_not_allowed() -> Refusal:
    """Return a 405 for a resource that does not support the method."""
    return Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def unsupported_media_type() -> Refusal:
    """Return a 415 for a body that is not JSON.

    A real API server also accepts protobuf, and kubectl prefers protobuf to JSON.
    """
    message = "the body of the request was in an unknown format - accepted media types include: application/json"
    return Refusal(415, "UnsupportedMediaType", message, {})


def _qualified(kind: str, group: str) -> str:
    return f"{kind}.{group}" if group else kind


def _details(kind: str, name: str, group: str) -> dict[str, Any]:
    named = {"name": name} if name else {}
    return {**named, **({"group": group} if group else {}), "kind": kind}
