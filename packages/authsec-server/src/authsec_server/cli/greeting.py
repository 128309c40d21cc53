"""The first screen of `authsec serve`: the addresses of the server and the first steps."""

from __future__ import annotations

import socket
import sys
import textwrap
from datetime import UTC, datetime
from urllib.parse import urlsplit

import click
from authsec.config import is_loopback
from authsec.terminal import command_line
from sqlalchemy import make_url

from authsec_server.accounts.model.admin_keys import AdminKey, KeyRefusal
from authsec_server.app import Authority
from authsec_server.cli.listener import ANSWERS_WITHIN
from authsec_server.cli.logs import say
from authsec_server.cli.output import when
from authsec_server.console.addresses import REMEDY, is_plain_http
from authsec_server.console.server_command import data_options, needs_variables
from authsec_server.settings import ENV_PREFIX, Settings
from authsec_server.web.instants import rfc3339


def listens(url: str) -> bool | None:
    """Whether a program listens at the address. Return None for an address of another machine.

    On another machine, a proxy may accept the connection in place of the program.
    """
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    if not is_loopback(host):
        return None
    try:
        socket.create_connection((host, port), timeout=ANSWERS_WITHIN).close()
    except OSError:  # no program listens
        return False
    return True


def greet(settings: Settings, authority: Authority) -> None:
    """Print the first screen on stderr. If there is no administrator yet, create a link for the first one.

    At a plain http address, warn instead: the console does not work there. A server for agents has no console.
    If stderr is not a terminal, or a log of JSON, no link is created: logs are stored, and other people read them.
    """
    _say_hello(settings)
    sign_in = authority.sign_in
    if authority.bootstrap:
        say(settings.log_format, f"  {_about(authority.bootstrap, datetime.now(UTC))}")
    plain = next((url for url in (settings.issuer, settings.console_address) if is_plain_http(url)), "")
    if plain:
        warning = (
            f"! {plain} is plain http. The console refuses every request there. Agents and APIs refuse the "
            f"address unless they allow plain http. {REMEDY}"
        )
        say(settings.log_format, _wrapped(warning), is_warning=True)
    elif settings.surface == "agents":
        return
    elif sign_in.has_administrator():
        say(settings.log_format, f"  console   {settings.console_address}/console")
    elif settings.log_format == "json" or not sys.stderr.isatty():
        # Logs are stored, and other people read them: print no link.
        say(settings.log_format, f"  to begin  {_line_for_a_link(settings)}")
    elif link := sign_in.first_link():
        click.echo(
            "\nTo begin, open the address below. The address works once, within 15 minutes.\n"
            f"For a new address, run in another terminal: {_line_for_a_link(settings)}\n\n"
            f"  {settings.console_address}{link.path}\n",
            err=True,
        )


def warn_of_another(before: str, issuer: str, log_format: str) -> None:
    """Warn if a program still listens at `before`, the address where this data was last served.

    After this start, commands that use this data print the address of the new server.
    """
    if before in {"", issuer} or not listens(before):
        return
    say(
        log_format,
        f"! Something answers at {before}, where this data was last served. If that is a server of the same data,\n"
        "  stop one of the two: each server puts its own URL into tokens as the issuer. From now on, the commands\n"
        f"  on this machine print {issuer}, even after this server has stopped. To undo that, restart the other\n"
        "  server. Servers that share data need the same --public-url.\n",
        is_warning=True,
    )


def warn_of_older(problem: str, log_format: str) -> None:
    """Warn that the authority issues no tokens, because its database is older than checkpoints stored outside it."""
    say(
        log_format,
        f"{_wrapped(f'! {problem}')}\n"
        "  If you restored a backup, run on this machine:\n\n"
        f"    {command_line('admin', 'restored')}\n\n"
        "  with the --data or --database of this server. First copy the checkpoints file, because the server adds\n"
        "  lines afterwards. The command reads the file of this server's --audit-checkpoints. For checkpoints\n"
        "  elsewhere, add for example --checkpoint /mnt/elsewhere/checkpoints.txt. The server then continues by\n"
        "  itself. See docs/backup.md. If you restored no backup, see docs/tampering.md.\n",
        is_warning=True,
    )


def _wrapped(warning: str) -> str:
    return textwrap.fill(warning, width=110, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


def _say_hello(settings: Settings) -> None:
    where = place(settings.database_url) if settings.database else str(settings.data.absolute())
    label = f" [{settings.environment}]" if settings.environment else ""
    lines = [
        f"AuthSec{label} listens on {settings.host}:{settings.port}",
        f"  issuer    {settings.issuer}",
        f"  data      {where}",
    ]
    if settings.surface != "all":
        lines.append(f"  surface   {settings.surface}: docs/operate.md lists its addresses")
    if settings.workers > 1:
        share = f"each has 1/{settings.workers} of the rate limits"
        lines.append(f"  workers   {settings.workers} processes; {share} (docs/scaling.md)")
    if settings.metrics_port:
        host = f"[{settings.metrics_host}]" if ":" in settings.metrics_host else settings.metrics_host
        lines.append(f"  metrics   http://{host}:{settings.metrics_port}/metrics")
    say(settings.log_format, "\n".join([*lines, "  stop      Ctrl-C"]))


def _about(bootstrap: AdminKey, now: datetime) -> str:
    """Describe the state of the key in the bootstrap key file. Operators easily forget the file."""
    match bootstrap.refusal(now):
        case KeyRefusal.REVOKED:
            state = "was revoked"
        case KeyRefusal.EXPIRED:
            state = "has expired"
        case _:
            until = (
                f"until {when(rfc3339(bootstrap.expires_at))} UTC" if bootstrap.expires_at else "until it is revoked"
            )
            return f"bootstrap the admin key {bootstrap.name} ({bootstrap.role.name.lower()}) is valid {until}"
    return f"bootstrap the admin key {bootstrap.name} {state}: {ENV_PREFIX}BOOTSTRAP_KEY_FILE can be removed"


def _line_for_a_link(settings: Settings) -> str:
    """Return the command that creates a new sign-in link in another terminal, without the database password."""
    inherited = f"with this server's {ENV_PREFIX}… variables: " if needs_variables(settings) else ""
    return inherited + command_line("admin", "setup-url", *data_options(settings))


def place(database_url: str) -> str:
    """Describe the location of the database."""
    url = make_url(database_url)
    hosts = url.query.get("host", "")
    several = hosts if isinstance(hosts, str) else ", ".join(hosts)
    return f"PostgreSQL database {url.database or ''} at {url.host or several or 'this machine'}"
