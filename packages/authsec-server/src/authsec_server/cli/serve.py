"""`authsec serve`: run the authority as a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from authsec_server.failures import Failure


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder for the embedded database. [default: authsec-data]"
)
@click.option("--host", help="Address to listen on. [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 picks a free port. [default: 7468]")
@click.option(
    "--surface",
    type=click.Choice(["agents", "admin", "all"]),
    help="Serve only the addresses for agents and APIs, or only those for administrators. [default: all]",
)
@click.option("--database", help="Use this PostgreSQL database, postgresql://…, instead of the embedded SQLite.")
@click.option(
    "--public-url",
    help="The URL that callers use, which is the issuer of every token. Required unless --host is loopback.",
)
@click.option("--console-url", help="The URL of the console, if it is not the public URL.")
@click.option("--environment", help="A label such as PRODUCTION, shown wherever people make decisions.")
@click.option(
    "--workers",
    type=int,
    metavar="N",
    help="Number of server processes that share the port; more than one needs PostgreSQL. Each process allows its "
    "share of the rate limits, rounded up. [default: 1]",
)
@click.option("--metrics-host", help="Address to listen on for /metrics. [default: 127.0.0.1]")
@click.option("--metrics-port", type=int, help="Port of /metrics. [default: off]")
@click.option(
    "--audit-checkpoints",
    metavar="FILE|URL",
    help="File or URL to which each signed checkpoint of the audit log is also sent.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="PEM certificate chain; turns HTTPS on.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="PEM key for that certificate.")
def serve(**options: Any) -> None:
    """Run the authority. Every option is also a setting: AUTHSEC_SERVER_<NAME>."""
    # Imported here, so that --help and the supervisor of workers start fast.
    from authsec_server.cli.logs import say_refused
    from authsec_server.settings import load_settings

    log_format = ""
    try:
        settings = load_settings(**options)
        log_format = settings.log_format
        if settings.workers > 1:
            from authsec_server.cli.supervisor import supervise

            sys.exit(supervise(settings, options))
        from authsec_server.cli.server_process import run

        run(settings)
    except Failure as failure:
        say_refused(log_format, failure)
        sys.exit(1)
