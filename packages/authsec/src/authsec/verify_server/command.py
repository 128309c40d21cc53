"""The command `authsec verify-server` and its options. Environment variables can also set the options."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from authsec.errors import ConfigError
from authsec.extras import HOW_TO_INSTALL_VERIFY_SERVER

DEFAULT_LISTEN: Final = "127.0.0.1:8094"
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _option(name: str, **settings: Any) -> Callable[[_Command], _Command]:
    variable = f"AUTHSEC_VERIFY_{name.removeprefix('--').replace('-', '_').upper()}"
    return click.option(name, envvar=variable, show_envvar=True, **settings)


@click.command("verify-server")
@_option("--issuer", required=True, metavar="URL", help="The authority whose tokens are accepted: its exact issuer.")
@_option(
    "--audience", required=True, multiple=True,
    help=(
        "The identifier of the API behind the proxy. Repeat the option for several APIs. The proxy then names "
        "one API in each request."
    ),
)  # fmt: skip
@_option(
    "--listen", default=DEFAULT_LISTEN, show_default=True, metavar="HOST:PORT|unix:PATH",
    help="Address for the proxy's requests, over HTTP.",
)  # fmt: skip
@_option("--fastcgi", metavar="HOST:PORT", help="Address for Apache's requests, over FastCGI. [default: none]")
@_option(
    "--revocations", type=click.Choice(["fail_closed", "introspect", "until_exp"]), default="fail_closed",
    show_default=True, help="What to do while the authority's revocations are not known.",
)  # fmt: skip
@_option(
    "--stale-after", type=float, default=30.0, show_default=True, metavar="SECONDS",
    help="If the authority is silent for this long, its revocations are not known.",
)  # fmt: skip
@_option(
    "--dpop-origin", multiple=True, metavar="URL",
    help=(
        "Accept tokens that are bound to a key (DPoP). URL is the scheme, host and port at which agents address the "
        "API. Once for all APIs, or once for each --audience, in their order. [default: no such token is accepted]"
    ),
)  # fmt: skip
@_option("--dpop-required", is_flag=True, help="Refuse all tokens that are not bound to a key.")
@_option("--beyond-loopback", is_flag=True, help="Allow an address that other machines can reach over plain HTTP.")
@_option(
    "--no-metadata", is_flag=True, help="Do not serve protected resource metadata, and do not name it in challenges."
)
def verify_server(**options: Any) -> None:
    """Verify tokens for a proxy (nginx, Apache, haproxy, Envoy, Traefik, Caddy) before an API in any language.

    For each request, the proxy asks this server at /verify?require=customers:read. The server answers with a
    refusal, or with the caller in the headers AuthSec-Agent, AuthSec-Permissions and others. The proxy passes the
    answer on. The folder deploy of AuthSec's repository has configurations to copy.

    AUTHSEC_CA_FILE names the certificates of a company's own certificate authority. AUTHSEC_API_CREDENTIAL is the
    API's credential, which --revocations introspect needs. AUTHSEC_REVOCATIONS_FILE names a file in a folder to
    which only this user can write. With this file, all servers of a host share one connection to the authority.
    """
    try:
        from authsec.verify_server.listen_address import ListenAddress
        from authsec.verify_server.server import ServerSettings, run
    except ImportError:
        raise ConfigError(
            f"verify-server needs packages that are not installed. {HOW_TO_INSTALL_VERIFY_SERVER}",
            reason="extra_missing",
        ) from None
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("authsec").setLevel(logging.INFO)
    beyond = options["beyond_loopback"]
    settings = ServerSettings(
        issuer=options["issuer"],
        audiences=tuple(dict.fromkeys(options["audience"])),
        listen=ListenAddress.read(options["listen"], beyond_loopback=beyond),
        fastcgi=ListenAddress.read_port(options["fastcgi"], beyond_loopback=beyond) if options["fastcgi"] else None,
        revocations=options["revocations"],
        stale_after=options["stale_after"],
        publish_metadata=not options["no_metadata"],
        dpop_origins=tuple(options["dpop_origin"]),
        dpop_required=options["dpop_required"],
    )
    run(settings, lambda line: click.echo(line, err=True))
