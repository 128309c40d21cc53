"""A process of its own for the tests of signing keys: brings the keys in order, or dies at the moment of doing so.

key_starter.py keep|die DATABASE_URL DATA MASTER_KEY_FILE
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from authsec_server.apis import service as apis
from authsec_server.db import Tx, open_database
from authsec_server.keys.key_ring import FreshKeys, SigningKeyRing
from authsec_server.keys.master_key import load_master_key
from authsec_server.keys.signer import Signer
from authsec_server.principal import THE_SERVER, Act
from authsec_server.settings import Settings
from processes import wait_for_the_others


class Dying(SigningKeyRing):
    """Killed when everything is written and nothing committed."""

    def _put_in_order(self, tx: Tx, act: Act, fresh: FreshKeys) -> list:
        super()._put_in_order(tx, act, fresh)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


def main(how: str, database_url: str, data: str, master_key_file: str) -> None:
    settings = Settings(data=Path(data), master_key_file=Path(master_key_file) if master_key_file else None)
    database = open_database(database_url)
    wait_for_the_others()
    database.migrate()
    master_key = load_master_key(settings, database, secrets.token_bytes)
    kind = Dying if how == "die" else SigningKeyRing
    kind(
        database=database,
        signer=Signer(database, master_key),
        master_key=master_key,
        settings=settings,
        token_bytes=secrets.token_bytes,
        wanted=apis.signing_algorithms,
    ).keep(Act(principal=THE_SERVER, now=datetime.now(UTC), request_id="", address="", token_bytes=secrets.token_bytes))
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
