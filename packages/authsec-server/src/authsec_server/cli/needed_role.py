"""The command that creates an admin key, with the role that the running command needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

_ADMIN: Final = frozenset({"admin", "issuers", "keys"})
_ALSO_ADMIN: Final = frozenset({("audit", "rotate-key")})
_LESS: Final = frozenset({"bind", "list", "list-keys", "rbac", "show", "try"})
"""Commands of the groups in `_ADMIN` that need a lower role."""


def create_key_command() -> str:
    """Return the command. An operator's key is enough where the running command is unknown."""
    role = "admin" if _needs_admin(tuple(_words())[::-1]) else "operator"
    return f"authsec admin create-key NAME --role {role} --expires 30d"


def _needs_admin(words: tuple[str, ...]) -> bool:
    return words[1:] in _ALSO_ADMIN or (words[1:2] != () and words[1] in _ADMIN and words[-1] not in _LESS)


def _words() -> Iterator[str]:
    """Yield the names of the running command and its groups, the innermost first."""
    context = click.get_current_context(silent=True)
    while context is not None:
        yield context.info_name or ""
        context = context.parent
