"""Run the real authority (`authsec serve`) in a separate process with temporary data, and create an admin key."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
from authsec.terminal import command_line

from authsec_demo.commands import AUTHSEC, environment, result
from authsec_demo.loopback import HOST, free_port
from authsec_demo.stage import check

ENVIRONMENT: Final = "DEMO"
TRUST_DOMAIN: Final = "demo"

_SETTINGS: Final = {
    "AUTHSEC_SERVER_ENVIRONMENT": ENVIRONMENT,
    "AUTHSEC_SERVER_TRUST_DOMAIN": TRUST_DOMAIN,
    "AUTHSEC_SERVER_DRAIN_SECONDS": "0",
}
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0


class Authority:
    """An authority that runs in a separate process. The process may still be starting.

    `settings` are added to the settings that every demo uses.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.url = f"http://{HOST}:{free_port()}"
        self._data = folder / "authority"
        self._log = folder / "authority.log"
        self._settings = {**_SETTINGS, **settings}
        port = self.url.rpartition(":")[2]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
                [*AUTHSEC, "serve", "--data", str(self._data), "--host", HOST, "--port", port],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(self._settings),
                start_new_session=True,  # Ctrl-C must reach only the demo, which then stops the authority.
            )

    @property
    def process_id(self) -> int:
        """Return the id of the server's process."""
        return self._process.pid

    def await_ready(self) -> None:
        """Wait until the authority is ready.

        Raises `StepFailed` with the end of the log if the process exits, or is not ready in time.
        """
        deadline = time.monotonic() + _START_SECONDS
        with httpx2.Client(base_url=self.url, trust_env=False, timeout=2) as http:
            while not _is_ready(http):
                running = self._process.poll() is None
                state = "is not ready" if running else "exited"
                check(
                    running and time.monotonic() < deadline,
                    expected="an authority that is ready",
                    came=f"an authority that {state}; its log ends: {self._end_of_log()}",
                )
                time.sleep(0.02)

    def create_admin_key(self, name: str) -> str:
        """Create an admin key with `authsec admin create-key NAME --data DIR`, as an operator on the server does."""
        return str(self._here("admin", "create-key", name)["key"])

    def sign_in_url(self, email: str) -> str:
        """Return a one-time console sign-in URL for this administrator (`authsec admin setup-url --sign-in`)."""
        return str(self._here("admin", "setup-url", "--sign-in", "--email", email)["url"])

    def line_for_a_sign_in(self, email: str) -> str:
        """Return the shell command that prints another sign-in URL for this administrator."""
        return command_line("admin", "setup-url", "--sign-in", "--email", email, "--data", str(self._data))

    def stop(self) -> None:
        """Terminate the process; kill the process after a timeout."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _here(self, *words: str) -> Any:
        """Run an `authsec` command on the data folder of this authority and return the JSON result."""
        return result(*words, "--data", str(self._data), variables=self._settings)

    def _end_of_log(self) -> str:
        return " ".join(self._log.read_text(encoding="utf-8", errors="replace").split())[-400:]


@contextmanager
def running_authority(folder: Path, settings: Mapping[str, str]) -> Iterator[Authority]:
    """Start an authority that keeps all its data in `folder`. Stop the authority when the `with` block ends."""
    authority = Authority(folder, settings)
    try:
        yield authority
    finally:
        authority.stop()


def _is_ready(http: httpx2.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx2.TransportError:
        # The authority is not ready yet; the caller asks again.
        return False
