"""Raw SQL takes one of two client secrets away while an operator replaces all secrets, and puts it back.

Without an overlap, the earlier secrets are deleted at once: "Use this if somebody has seen a secret". The secret that
was away is not among them. Afterwards a person who has seen the secret gets tokens as before.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.verifying import verify
from authsec_server.clients import held_proofs
from authsec_server.clients import service as clients
from sealed_estate import sealed_estate


@pytest.mark.sqlite_suffices
def test_no_earlier_secret_is_valid_or_it_is_found(estate: Any) -> None:
    sealed = sealed_estate(estate)
    agent = estate.agent("Batch", platform="secret")
    estate.do(lambda tx, act: held_proofs.rotate_secret(tx, act, agent.id, timedelta(days=7)))
    seen, *_ = [each.id for each in agent.proofs]

    def execute(*statements: str) -> None:
        for each in statements:
            estate.database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)

    execute(f"CREATE TABLE kept AS SELECT * FROM proofs WHERE id = '{seen}'", f"DELETE FROM proofs WHERE id = '{seen}'")
    estate.do(lambda tx, act: held_proofs.rotate_secret(tx, act, agent.id, timedelta(0)))
    execute("INSERT INTO proofs SELECT * FROM kept", "DROP TABLE kept")
    sealed.seal()
    signed = estate.see(lambda tx, _: store.last_signed(tx.connection))
    outside = read_checkpoint(signed, sealed.keys.by_kid())
    later = estate.act.now + timedelta(minutes=10)
    report = estate.database.check(lambda tx: verify(tx, sealed.keys.by_kid(), [outside], now=later))
    held = estate.see(lambda tx, act: clients.get(tx, act, agent.id)).proofs
    valid = [each.id for each in held if each.is_valid(later)]
    assert seen not in valid or report.findings, report
