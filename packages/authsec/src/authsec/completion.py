"""`authsec completion`: so that a shell completes commands and their options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_PROGRAM = "authsec"
# click's own, made of the program's name: with it, the script answers the shell.
COMPLETE_VARIABLE = "_AUTHSEC_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script by which a shell completes commands and options.

    It completes what this installation has, and asks no authority for names: pressing Tab sends nothing anywhere.

    \b
    bash  authsec completion bash > ~/.local/share/bash-completion/completions/authsec
    zsh   authsec completion zsh > DIR/_authsec, where DIR is one of your fpath
    fish  authsec completion fish > ~/.config/fish/completions/authsec.fish

    Or for the shell that is open alone: eval "$(authsec completion bash)"
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    click.echo(kind(click.get_current_context().find_root().command, {}, _PROGRAM, COMPLETE_VARIABLE).source())
