"""What a kube-apiserver says when it does not do what it is asked: a Status object, in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """The request fails, with this Status."""

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    @property
    def status(self) -> dict[str, Any]:
        """The body of the answer."""
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
    """There is no such object; `kind` is the plural, as in paths."""
    return Refusal(404, "NotFound", f'{_qualified(kind, group)} "{name}" not found', _details(kind, name, group))


def no_such_path() -> Refusal:
    """There is no such path or resource."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def unauthorized() -> Refusal:
    """Credentials came, and they are nobody's. Why is in the server's log only."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def forbidden(kind: str, name: str, group: str, why: str) -> Refusal:
    """Somebody is known and may not."""
    what = f'{_qualified(kind, group)} "{name}"' if name else _qualified(kind, group)
    return Refusal(403, "Forbidden", f"{what} is forbidden: {why}", _details(kind, name, group))


def forbidden_path(why: str) -> Refusal:
    """The same of a path that is no resource."""
    return Refusal(403, "Forbidden", f"forbidden: {why}", {})


def already_exists(kind: str, name: str, group: str = "") -> Refusal:
    """The name is taken."""
    message = f'{_qualified(kind, group)} "{name}" already exists'
    return Refusal(409, "AlreadyExists", message, _details(kind, name, group))


def conflict(kind: str, name: str, group: str, why: str) -> Refusal:
    """The object is not the one that was meant."""
    message = f'Operation cannot be fulfilled on {_qualified(kind, group)} "{name}": {why}'
    return Refusal(409, "Conflict", message, _details(kind, name, group))


def bad_request(message: str) -> Refusal:
    """The request makes no sense."""
    return Refusal(400, "BadRequest", message)


def invalid(kind: str, name: str, group: str, field: str, value: object, why: str) -> Refusal:
    """The object breaks a rule; here `kind` is the singular."""
    shown = f'"{value}"' if isinstance(value, str) else value
    cause = f"Invalid value: {shown}: {why}"
    causes = [{"reason": "FieldValueInvalid", "message": cause, "field": field}]
    message = f'{_qualified(kind, group)} "{name}" is invalid: {field}: {cause}'
    return Refusal(422, "Invalid", message, {**_details(kind, name, group), "causes": causes})


def method_not_allowed() -> Refusal:
    """The resource is there, and this cannot be done to it."""
    return Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def unsupported_media_type() -> Refusal:
    """The body is not JSON. A real API server reads protobuf, too, which is what kubectl sends where it can."""
    message = "the body of the request was in an unknown format - accepted media types include: application/json"
    return Refusal(415, "UnsupportedMediaType", message, {})


def _qualified(kind: str, group: str) -> str:
    return f"{kind}.{group}" if group else kind


def _details(kind: str, name: str, group: str) -> dict[str, Any]:
    named = {"name": name} if name else {}
    return {**named, **({"group": group} if group else {}), "kind": kind}
