"""The principal of an administrative request, and its role.

An agent is never a principal, so no agent can administer the authority.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from uuid import UUID

from authsec_server.failures import RoleTooSmall


class PrincipalKind(StrEnum):
    """How the principal authenticated."""

    ADMINISTRATOR = "administrator"
    ADMIN_KEY = "admin_key"
    LOCAL_OPERATOR = "local_operator"  # a user who can read the data folder on the server's machine
    SERVER = "server"  # the authority itself, for example when it rotates an old key


class Role(IntEnum):
    """The permissions of a principal. Each role includes the lower roles."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The person, key or server that acts. `name` is the name in the audit log.

    `id` is empty for the local operator and for the server itself. `session_id` is the session of an
    administrator. Comparisons ignore `session_id`.
    """

    kind: PrincipalKind
    id: str
    name: str
    role: Role
    session_id: str = field(default="", compare=False)

    def require(self, role: Role) -> None:
        """Raise `RoleTooSmall` unless this principal's role includes `role`."""
        if self.role < role:
            raise RoleTooSmall(
                f"{self.name} has the role {self.role.name.lower()}; this action needs the role {role.name.lower()}.",
                "Ask an administrator, or use a key with that role.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """The context of an action: principal, time, request and address. Services take it beside the transaction.

    `token_bytes(n)` returns n random bytes. Time and random bytes are fields, so that tests can control both.
    """

    principal: Principal
    now: datetime
    request_id: str
    address: str
    token_bytes: Callable[[int], bytes]

    def new_id(self) -> str:
        """Return a random id for a new object."""
        return random_id(self.token_bytes)

    def new_edit_id(self) -> str:
        """Return a random id for the rows that an edit writes, so that nobody can write such rows in advance."""
        return self.token_bytes(8).hex()


def random_id(token_bytes: Callable[[int], bytes]) -> str:
    """Return a random UUID (RFC 9562 version 4)."""
    return str(UUID(bytes=token_bytes(16), version=4))


LOCAL_OPERATOR = Principal(kind=PrincipalKind.LOCAL_OPERATOR, id="", name="local operator", role=Role.ADMIN)
THE_SERVER = Principal(kind=PrincipalKind.SERVER, id="", name="authsec server", role=Role.ADMIN)
