"""The HTTP operation that replaces the sealing key of the audit log."""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic takes no other below Python 3.12

from authsec_server.audit.api import PATH
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import Role
from authsec_server.web.operations import AnyOperation, Call, NoBody, declared, operation


class SealKeyReplaced(TypedDict):
    """The names of the new sealing key and of the key that it replaces."""

    kid: str
    replaces: str


def operations(keys: SealingKeys, *, issuer: str) -> list[AnyOperation]:
    """Return the operation that replaces the sealing key."""

    @operation("POST", f"{PATH}/keys/rotate", "rotateSealingKey", least=Role.ADMIN, refusals=(409,))
    async def replace(call: Call[NoBody]) -> SealKeyReplaced:
        """Replace the sealing key of the audit log.

        The present key signs a record that names the new key.
        """
        rehearsed = call.dry_run is not None
        kid, before = await call.change(lambda tx, act: keys.replace(tx, act, issuer=issuer, rehearsed=rehearsed))
        return {"kid": kid, "replaces": before}

    return declared(replace)
