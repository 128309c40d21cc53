"""Serve the sample API and the scripted model on one loopback port, for agents of the user's own authority."""

from __future__ import annotations

import http.client
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from authsec import TokenVerifier
from authsec.errors import ConfigError, VerificationUnavailable
from authsec.terminal import command_line
from authsec_server.cli.listener import server_on

from authsec_demo.evidence import App, Receive, Scope, Send
from authsec_demo.exports import EXAMPLE, model_exports, show_exports
from authsec_demo.loopback import HOST, serving
from authsec_demo.model_server import model_app, refusal, scripted, scripted_endpoint
from authsec_demo.sample_api import create_app, sample_customers
from authsec_demo.stage import Stage

_MISPLACED: Final = "/chat/completions"  # the path that a client requests if OPENAI_BASE_URL lacks /v1
_UNDER_V1: Final = "The model is under /v1: OPENAI_BASE_URL ends in /v1."
_ANSWERS_WITHIN: Final = 0.5  # seconds for a server on this machine
_MOST_BYTES: Final = 4_096
_OTHER_DEMO_API: Final = (
    "A demo-api already runs there. Use it, stop it (if it is for another authority or audience), or choose "
    "another port: --port."
)


@contextmanager
def demo_api_running(stage: Stage, folder: Path, *, issuer: str, audience: str, port: int) -> Iterator[None]:
    """Serve the API and the model until the `with` block ends. Print the addresses of both servers.

    The customers are stored in `folder`. Raises `ConfigError` if `issuer` is not a valid issuer, or if the server
    cannot listen on the port.
    """
    verifier = TokenVerifier(issuer=issuer, audience=audience)
    app = _beside(create_app(sample_customers(folder), verifier), model=model_app(scripted))
    with ExitStack() as running:
        running.callback(verifier.close)
        url = _serve(running, app, port)
        stage.line("AuthSec demo API", style="bold")
        stage.fact("sample API", f"{url}, guarded by authsec.TokenVerifier")
        stage.fact("model", "SCRIPTED, by fixed rules, whatever OPENAI_MODEL says")
        _check_authority(stage, verifier)
        stage.line()
        stage.note("Set these in addition to the variables of your agent.")
        show_exports(stage, {"DOWNSTREAM_URL": url, **model_exports(scripted_endpoint(url))}, EXAMPLE)
        yield


def _serve(running: ExitStack, app: App, port: int) -> str:
    try:
        return running.enter_context(serving(app, port=port))
    except OSError as error:
        other = _OTHER_DEMO_API if _is_demo_api(port) else server_on(HOST, port)
        raise ConfigError(
            f"Cannot listen on {HOST} port {port}: {os.strerror(error.errno or 0)}. {other}",
            reason="listen_failed",
        ) from None


def _is_demo_api(port: int) -> bool:
    """Whether the program on this loopback port is another `authsec demo-api`."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_ANSWERS_WITHIN)
    try:
        connection.request("GET", _MISPLACED)
        return _UNDER_V1.encode() in connection.getresponse().read(_MOST_BYTES)
    except (OSError, http.client.HTTPException):  # another program, or a busy one
        return False
    finally:
        connection.close()


def _beside(api: App, *, model: App) -> App:
    """Combine the API and the model into one application.

    Requests below `/v1/` go to the model, and all other requests go to the API. If a client of the model omits
    `/v1`, the response is a 404 that names the mistake.
    """
    misplaced = refusal(404, _UNDER_V1)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        # For this path, the API would answer 401, and a user would search for the mistake in the token.
        chosen = misplaced if path == _MISPLACED else model if path.startswith("/v1/") else api
        await chosen(scope, receive, send)

    return application


def _check_authority(stage: Stage, verifier: TokenVerifier) -> None:
    """Print whether the verifier can verify tokens now.

    If the authority is not running yet, the verifier fetches the authority's keys later.
    """
    (issuer,) = verifier.issuers
    log = logging.getLogger("authsec")
    # This function prints the failure, so the verifier must not log it.
    log.setLevel(logging.CRITICAL)
    try:
        verifier.check_ready()
    except VerificationUnavailable as error:
        stage.warning("accepts", f"no token yet. {error}")
        remedy = "Start the authority, or name another one" if error.retryable else "Name the authority's exact issuer"
        stage.warning("", f"{remedy}: {command_line('demo-api', '--issuer', 'URL')}, or AUTHSEC_BASE_URL.")
    else:
        stage.fact("accepts", f"tokens of {issuer} for the audience {verifier.audience}")
        stage.note("For another authority: --issuer URL, or AUTHSEC_BASE_URL.")
    finally:
        log.setLevel(logging.INFO)
