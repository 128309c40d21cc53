"""The command `authsec`, and the subcommands that this package defines.

These subcommands are `doctor`, `smoke`, `token`, `keygen`, `enrol`, `verify-server` and `completion`.

Other packages add commands through the entry point group `authsec.commands`. Each entry point is a callable
`register(group: click.Group) -> None`.
"""

from __future__ import annotations

import gc
import platform
import re
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import get_completion_class

from authsec.config import export_line
from authsec.errors import AuthSecError, ConfigError
from authsec.exit_status import Exit, exit_of_error
from authsec.keygen import write_key_pair
from authsec.lazy_commands import Commands, LazyCommand
from authsec.safe_text import plain
from authsec.terminal import OF_THE_DEMO, OF_THE_SERVER, command_line, described, failed, runnable

_OF_ANOTHER_PACKAGE: Final = (
    "`{{command}}` is a command of the package {package}, which is not installed here. Install the wheel of "
    "{package} beside this one: docs/install.md shows how. In a clone of AuthSec, run `uv run {{whole}}`."
)
_ELSEWHERE: Final = dict.fromkeys(OF_THE_SERVER, _OF_ANOTHER_PACKAGE.format(package="authsec-server")) | dict.fromkeys(
    OF_THE_DEMO, _OF_ANOTHER_PACKAGE.format(package="authsec-demo")
)

# A word of this form is a subcommand. Other words may be secrets, so they are not printed.
_SUBCOMMAND: Final = re.compile(r"[a-z]+(-[a-z]+)*")
_PROGRAM = "authsec"
# The environment variable with which the shell asks click for completions.
COMPLETE_VARIABLE = "_AUTHSEC_COMPLETE"


class Script(Commands):
    """A command group that imports other packages only for a command that this package does not define.

    So `authsec smoke` starts fast, and works even if another package is broken.
    """

    _extended = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._extend()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None:
            self._extend()
            command = super().get_command(ctx, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        For an error of this package, print its text without a traceback, and exit with its status.
        """
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.message = runnable(error.message)  # type: ignore[misc]  # click declares `message` as Final
            raise
        except AuthSecError as error:
            click.echo(failed(described(error)), err=True)
            ctx.exit(exit_of_error(error))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. If its package is not installed, refuse the command and name the package."""
        if args[0] in _ELSEWHERE and not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            words = [args[0], *(word for word in args[1:2] if _SUBCOMMAND.fullmatch(word))]
            told = _ELSEWHERE[args[0]].format(command=f"authsec {args[0]}", whole=" ".join(["authsec", *words]))
            raise click.UsageError(told, ctx)
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the exit statuses at the end of the help."""
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status.value), status.meaning) for status in Exit])

    def _extend(self) -> None:
        if self._extended:
            return
        self._extended = True
        own = dict(self.commands)
        for entry_point in sorted(entry_points(group="authsec.commands"), key=lambda found: found.name):
            try:
                entry_point.load()(self)
            except Exception as error:  # noqa: BLE001 - the commands of other packages must still work
                told = plain(f"{type(error).__name__}: {error}", 200)
                click.echo(f"authsec: the commands of {entry_point.name!r} cannot be loaded ({told})", err=True)
        # Other packages must not replace these commands.
        self.commands.update(own)


@click.group(cls=Script, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("authsec"), prog_name="authsec", message="%(prog)s %(version)s")
def commands() -> None:
    """AuthSec, the authority for AI agents."""


@commands.command("smoke")
@click.option("--scope", help="Request only these actions, separated by spaces. [default: all delegated actions]")
@click.option(
    "--resource",
    multiple=True,
    help="Request a token for this API. Required if the agent may call several. Can be repeated.",
)
def smoke_command(scope: str | None, resource: tuple[str, ...]) -> None:
    """Check that this machine's agent gets its tokens.

    Needs AUTHSEC_BASE_URL and AUTHSEC_AGENT_CLIENT_ID. If a step fails, prints the remedy and exits with status
    1.
    """
    from authsec import smoke  # here: other commands do not wait for the import of an HTTP client

    sys.exit(smoke.main(scope=scope, resource=resource))


@commands.command("token")
@click.option("--scope", help="Request only these actions, separated by spaces. [default: all delegated actions]")
@click.option(
    "--resource",
    multiple=True,
    help="Request a token for this API. Required if the agent may call several. Can be repeated.",
)
def token_command(scope: str | None, resource: tuple[str, ...]) -> None:
    """Print a delegation token of this machine's agent, to test an API.

    Only the token is printed on stdout: curl -H "Authorization: Bearer $(authsec token)" URL. Anyone who sees the
    token can act as the agent until the token expires. Needs AUTHSEC_BASE_URL and AUTHSEC_AGENT_CLIENT_ID. If the
    agent gets no token, prints the remedy on stderr and exits with status 1.
    """
    from authsec.client import AuthSecClient

    client = AuthSecClient()
    if client.config.dpop:
        raise ConfigError(
            "With AUTHSEC_DPOP, a token is bound to a key of the process that requested it, so nobody can use a "
            "printed token. To test an API, send the request from Python with `requests_auth` or `httpx_auth`: they "
            "add a proof. If no trust delegation of this agent requires DPoP, set AUTHSEC_DPOP=0 for this command: it "
            "then prints a bearer token.",
            reason="dpop_token_unusable",
        )
    click.echo(client.get_token(scope=scope, resource=resource or None).value)


@commands.command("doctor")
@click.option("--scope", help="Request only these actions, separated by spaces. [default: all delegated actions]")
@click.option(
    "--resource",
    multiple=True,
    help="Request a token for this API. Required if the agent may call several. Can be repeated.",
)
@click.option(
    "--api",
    metavar="URL",
    help="Also check the metadata of the API at this URL, and request the token for this API.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for support. It contains no secrets.")
def doctor_command(scope: str | None, resource: tuple[str, ...], api: str | None, as_json: bool) -> None:
    """Find out why this machine's agent gets no token.

    Checks settings, packages, network, certificate, clock and every source of proof. Then the command requests
    one token and prints the next step. The report shows no secret. The exit status is 1 if anything is wrong.
    """
    from authsec import doctor

    sys.exit(doctor.main(scope=scope, resource=resource, api=api, as_json=as_json))


@commands.command("keygen")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--kind", type=click.Choice(["ed25519", "rsa"]), default="ed25519", show_default=True, help="Kind of key."
)
def keygen_command(file: Path, kind: str) -> None:
    """Make the key pair of an agent: FILE and FILE.pub.

    The agent authenticates with the private key in FILE, which only you can read. Register the public key,
    FILE.pub, at the authority. Only the public key is printed on stdout.
    """
    public = write_key_pair(file, kind)
    click.echo(public.read_text(encoding="ascii"), nl=False)
    click.echo(
        f"\nprivate key  {file}      stays on this machine; only you can read it\n"
        f"public key   {public}  is for the authority, and is printed above\n\n"
        f"An administrator registers it in the console, or with:\n"
        f"    {command_line('agents', 'create', 'NAME', '--platform', 'key', '--public-key', str(public))}\n"
        "On the server's machine, add the option --data or --database with which the server runs.\n\n"
        f"Then set the key file where the agent runs:\n"
        f"    {export_line('AUTHSEC_AGENT_KEY_FILE', str(file.absolute()))}",
        err=True,
    )


@commands.command("enrol")
@click.argument("code", required=False)
@click.option(
    "--machine",
    default=platform.node,
    help="Name under which administrators see this machine. [default: the host name]",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Overwrite the key file even if somebody registered its key by hand. The old key is lost.",
)
def enrol_command(code: str | None, machine: str, replace: bool) -> None:
    """Make a key for an agent on this machine, with a one-time CODE from the agent's Connect tab.

    Needs AUTHSEC_BASE_URL and AUTHSEC_AGENT_CLIENT_ID. The key is valid for some hours and stays on this machine.
    """
    from authsec import enrol

    enrol.main(code or _ask_for_code(), machine=machine, replace=replace)


def _ask_for_code() -> str:
    try:
        return str(click.prompt("Code from the agent's Connect tab"))
    except click.Abort:
        if sys.stdin.isatty():  # Ctrl-C, or Ctrl-D
            raise
        click.echo()  # ends the line of the prompt
        raise click.UsageError("No code was typed. Pass the code: authsec enrol CODE") from None


@commands.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print a script that lets the shell complete commands and options.

    The script completes only names that are installed on this machine. Pressing Tab sends no request.

    \b
    bash  authsec completion bash > ~/.local/share/bash-completion/completions/authsec
    zsh   authsec completion zsh > DIR/_authsec, where DIR is a folder in your fpath
    fish  authsec completion fish > ~/.config/fish/completions/authsec.fish

    For the current shell only: eval "$(authsec completion bash)"
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    click.echo(kind(click.get_current_context().find_root().command, {}, _PROGRAM, COMPLETE_VARIABLE).source())


commands.add_command(
    LazyCommand(
        "verify-server",
        "Verify tokens for a proxy (nginx, Apache, haproxy, Envoy, Traefik, Caddy) before an API in any language.",
        "authsec.verify_server.command:verify_server",
    )
)


def main() -> None:
    """Run the command `authsec`: the entry point of the script."""
    # Imported objects stay until the end. The search for garbage among them would take a seventh of the start-up time.
    gc.set_threshold(50_000, 20, 50)
    commands(prog_name=command_line(), complete_var=COMPLETE_VARIABLE)
