"""The log's verbs for who asks over HTTP. What seals is `sealer`; what checks, offline, is `verifying`."""

from __future__ import annotations

from authsec_server.audit.sealing import store
from authsec_server.db import Tx
from authsec_server.failures import NotFound
from authsec_server.principal import Principal, Role


def newest_head(tx: Tx, principal: Principal) -> str:
    """The newest head, as it was signed: to be kept where the database's administrators cannot write."""
    principal.require(Role.VIEWER)
    signed = store.last_signed(tx.connection)
    if signed is None:
        raise NotFound("Nothing is sealed yet.", "A server seals the journal within a second once it runs.")
    return signed
