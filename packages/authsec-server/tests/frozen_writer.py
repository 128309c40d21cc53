"""A process of its own that stops inside a transaction, for the test to freeze it there.

    frozen_writer.py record|append|change|rehearse DATABASE_URL GO [many]

Prints "inside" once its transaction has written and holds its lock. When the file GO is there it goes on, and prints
what became of it. With `many` it writes many rows, each of which takes PostgreSQL 20 ms, in one call meanwhile.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from authsec_server.db import Tx, open_database
from authsec_server.failures import Unavailable
from sqlalchemy import text


def main(verb: str, url: str, go: str, many: str = "") -> None:
    database = open_database(url)

    def work(tx: Tx) -> None:
        tx.connection.execute(text("UPDATE authority SET issuer = 'frozen'"))
        print("inside", flush=True)
        if many:
            slow = text("UPDATE authority SET issuer = :issuer FROM pg_sleep(0.02)")
            tx.connection.execute(slow, [{"issuer": str(number)} for number in range(200)])
        while not Path(go).exists():
            time.sleep(0.01)

    try:
        getattr(database, verb)(work)
    except Unavailable as failure:
        print(f"unavailable: {failure.message}", flush=True)
    else:
        print("committed", flush=True)
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
