"""`authsec serve --workers 2` with stubs in place of its workers: see `doors/stub_worker.py`. It waits shorter."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

from authsec_server.cli import supervisor
from authsec_server.settings import load_settings


def main() -> int:
    its: Any = supervisor
    its.worker_process = SimpleNamespace(__name__="stub_worker")
    its.FIRST_PAUSE, its.LONGEST_PAUSE = 0.02, 0.05
    if os.environ["STUB"] == "silent":
        its.SILENT_SECONDS = its.SECOND_CHANCE = 0.1
    if os.environ["STUB"] == "hangs":
        its.FINISH_SECONDS = its.LAST_SECONDS = 0.2
    options = {"workers": 2, "port": 0, "database": "postgresql://nowhere/none", "drain_seconds": 0.2}
    return supervisor.supervise(load_settings(**options), options)


if __name__ == "__main__":
    sys.exit(main())
