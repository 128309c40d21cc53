"""Commands for the server's machine, with the options that name the data of this server."""

from __future__ import annotations

from authsec.terminal import command_line
from sqlalchemy import make_url

from authsec_server.settings import Origin, Settings


def server_command(settings: Settings, words: str, *, is_guest: bool = False, program: str = "uv run authsec") -> str:
    """Return the command `authsec` with these words, ready to paste on the server's machine."""
    return f"{program} {words}{option_text(settings, is_guest=is_guest)}"


def option_text(settings: Settings, *, is_guest: bool = False) -> str:
    """Return the options for the data as the end of a command. The default folder needs no option.

    A guest gets `DIR` or `URL` in place of the folder or the database's URL, because these name a user or a host.
    """
    if not settings.database and settings.origin("data") is Origin.DEFAULT:
        return ""
    words = data_options(settings)
    if is_guest and words:
        words = (words[0], "URL" if settings.database else "DIR")
    return command_line(*words).removeprefix(command_line())


def data_options(settings: Settings) -> tuple[str, ...]:
    """Return the options that name this server's folder or database, without the database password.

    A database from the environment needs no option.
    """
    if not settings.database:
        return "--data", str(settings.data.absolute())
    if settings.origin("database") is Origin.ENVIRONMENT:
        return ()
    return "--database", shareable(settings.database)


def needs_variables(settings: Settings) -> bool:
    """Return whether commands need variables of this server's environment, because no option replaces them."""
    return settings.master_key_file is not None or (bool(settings.database) and not data_options(settings))


def shareable(database: str) -> str:
    """Return the URL if it cannot contain a password; otherwise return the word `URL`."""
    url = make_url(database)
    return "URL" if url.password or url.query else database
