"""Who is acting, and how far their role reaches. An agent is never a principal: no agent can administer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from uuid import UUID

from authsec_server.failures import RoleTooSmall


class PrincipalKind(StrEnum):
    """How the principal came in."""

    ADMINISTRATOR = "administrator"
    ADMIN_KEY = "admin_key"
    LOCAL_OPERATOR = "local_operator"  # whoever can read the data directory on the server's own machine
    SERVER = "server"  # the authority itself: key rotation by age


class Role(IntEnum):
    """What a principal may do; each includes those below."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """`id` is empty for the local operator and the server itself; `name` is what the audit trail shows.

    `session_id` says by which session an administrator came in. It is not part of who they are.
    """

    kind: PrincipalKind
    id: str
    name: str
    role: Role
    session_id: str = field(default="", compare=False)

    def require(self, role: Role) -> None:
        """Raise `RoleTooSmall` unless this principal's role reaches `role`."""
        if self.role < role:
            raise RoleTooSmall(
                f"{self.name} has the role {self.role.name.lower()}; this needs {role.name.lower()}.",
                "Ask an administrator, or use a key with that role.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Somebody doing something: who, when, and in which request. What the services' verbs take beside the transaction.

    `token_bytes(n)` gives n random bytes; randomness is an argument like time.
    """

    principal: Principal
    now: datetime
    request_id: str
    address: str
    token_bytes: Callable[[int], bytes]

    def new_id(self) -> str:
        """An id for something new."""
        return random_id(self.token_bytes)


def random_id(token_bytes: Callable[[int], bytes]) -> str:
    """A random UUID (RFC 9562 version 4)."""
    return str(UUID(bytes=token_bytes(16), version=4))


LOCAL_OPERATOR = Principal(kind=PrincipalKind.LOCAL_OPERATOR, id="", name="local operator", role=Role.ADMIN)
THE_SERVER = Principal(kind=PrincipalKind.SERVER, id="", name="authsec server", role=Role.ADMIN)
