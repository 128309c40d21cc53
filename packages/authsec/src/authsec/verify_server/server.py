"""The server: its sockets, signals, health check and shutdown."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, NoReturn

import uvicorn

from authsec.errors import ConfigError, RevocationsUnavailable, VerificationUnavailable
from authsec.gate import Gate, Response
from authsec.verifier import TokenVerifier
from authsec.verifier.revocations.policy import Policy
from authsec.verify_server.decision import Gates
from authsec.verify_server.fastcgi import FastCgi
from authsec.verify_server.http import VerifyApp
from authsec.verify_server.listen_address import ListenAddress, address_of

KEEP_ALIVE_SECONDS: Final = 75  # nginx closes idle connections earlier by default, so none closes during a request
FINISH_SECONDS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The options of the command. `listen` is the address for HTTP; `fastcgi` is the address for Apache, or None."""

    issuer: str
    audiences: tuple[str, ...]
    listen: ListenAddress
    fastcgi: ListenAddress | None
    revocations: Policy
    stale_after: float
    publish_metadata: bool
    dpop_origins: tuple[str, ...] = ()
    dpop_required: bool = False

    def verifiers(self) -> list[TokenVerifier]:
        """Make one verifier per API. Raises `ConfigError`."""
        if self.revocations == "introspect" and len(self.audiences) > 1:
            raise ConfigError(
                "introspect uses the credential of one API. With this credential, the server cannot ask about "
                "tokens for another API. Start one verify-server for each audience.",
                reason="credential_of_one_api",
            )
        return [
            TokenVerifier(
                self.issuer,
                audience,
                revocations=self.revocations,
                stale_after=self.stale_after,
                dpop_origin=origin,
                dpop_required=self.dpop_required,
            )
            for audience, origin in zip(self.audiences, self._origins(), strict=True)
        ]

    def _origins(self) -> Sequence[str | None]:
        """Return the origin of each API in the proofs of its callers. Raises `ConfigError`."""
        given = self.dpop_origins
        if len(given) <= 1:
            return [*(given or (None,))] * len(self.audiences)
        if len(given) != len(self.audiences):
            raise ConfigError(
                f"{len(self.audiences)} APIs have {len(given)} values of --dpop-origin: give one for all APIs, or one "
                "for each --audience, in their order.",
                reason="dpop_origin_invalid",
            )
        return given


def run(settings: ServerSettings, say: Callable[[str], None]) -> NoReturn:
    """Serve until SIGTERM or Ctrl-C, then end the process. Raises `ConfigError` for invalid settings."""
    with ExitStack() as stack:
        verifiers = settings.verifiers()
        listener = stack.enter_context(settings.listen.listening())
        fastcgi = None if settings.fastcgi is None else stack.enter_context(settings.fastcgi.listening())
        for line in startup_lines(settings, address_of(listener), None if fastcgi is None else address_of(fastcgi)):
            say(line)
        server = VerifyServer(settings, verifiers)
        loop = (server.config.get_loop_factory() or asyncio.new_event_loop)()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.end)
        loop.run_until_complete(server.serve_on(listener, fastcgi))
    # A normal exit waits for all threads, and one may wait seconds for the authority. An immediate exit loses nothing.
    sys.stderr.flush()
    os._exit(0)


def startup_lines(settings: ServerSettings, listen: ListenAddress, fastcgi: ListenAddress | None) -> list[str]:
    """Describe the protected APIs, the policy for revocations, and the addresses for the proxy."""
    also = f" and fcgi://{fastcgi}" if fastcgi else ""
    meanings = {
        "fail_closed": f"no token is accepted if revocations are not known for {settings.stale_after:g} s",
        "introspect": f"the authority is asked if revocations are not known for {settings.stale_after:g} s",
        "until_exp": "while revocations are not known, tokens are accepted until they expire",
    }
    return [
        f"authsec verify-server listens for proxies at {'' if listen.path else 'http://'}{listen}{also}; "
        f"{meanings[settings.revocations]}.",
        f"It protects {', '.join(settings.audiences)} with tokens of {settings.issuer}.",
    ]


class VerifyServer(uvicorn.Server):
    """The server for HTTP and, if an address is set, for FastCGI."""

    def __init__(self, settings: ServerSettings, verifiers: Sequence[TokenVerifier]) -> None:
        gates = {
            verifier.expected.audience: Gate(verifier=verifier, publish_metadata=settings.publish_metadata)
            for verifier in verifiers
        }
        self._gates = Gates(gates)
        asks = settings.revocations == "introspect"
        self._health = partial(health_of, verifiers, asks=asks)
        config = uvicorn.Config(
            VerifyApp(self._gates, self._health),
            lifespan="off",
            ws="none",  # A WebSocket upgrade is verified like any other request.
            proxy_headers=False,  # No decision depends on the caller's address.
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=FINISH_SECONDS,
        )
        super().__init__(config)

    async def serve_on(self, listener: socket.socket, fastcgi: socket.socket | None) -> None:
        """Serve on these sockets until `end` is called."""
        # Fetch keys and revocations now, so that the first token does not wait for them. The verifiers log failures.
        begun = asyncio.get_running_loop().run_in_executor(None, self._health)
        asked = None if fastcgi is None else await asyncio.start_server(FastCgi(self._gates).serve, sock=fastcgi)
        await self.serve(sockets=[listener])
        if asked is not None:
            # Do not wait for the close: a silent connection would delay the end.
            asked.close()
        begun.cancel()

    def end(self, *_signal: object) -> None:
        """Stop accepting connections. Current requests have one second to finish."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not handle signals, because `run` handles them.

        uvicorn's own handler would end the process with the signal itself, as if no code had handled the signal.
        """
        yield


def health_of(verifiers: Sequence[TokenVerifier], *, asks: bool) -> Response:
    """Return 200 if all APIs can accept valid tokens, and 503 if an API refuses all tokens. May wait for some seconds.

    `asks` means that the authority is asked about each token while the feed of revocations is stale.
    """
    apis = [_of(verifier, asks=asks) for verifier in verifiers]
    refusing = any(api["status"] == "refusing" for api in apis)
    return Response(status=503 if refusing else 200, body={"status": _worst(apis), "apis": apis})


def _of(verifier: TokenVerifier, *, asks: bool) -> dict[str, Any]:
    status = "ok"
    try:
        verifier.check_ready()
    except RevocationsUnavailable:
        status = "asking" if asks else "refusing"
    except VerificationUnavailable:
        status = "refusing"
    return {"audience": verifier.expected.audience, "status": status, **asdict(verifier.health())}


def _worst(apis: Sequence[dict[str, Any]]) -> str:
    found = {api["status"] for api in apis}
    return next(status for status in ("refusing", "asking", "ok") if status in found)
