"""Lines for bash and PowerShell that set the variables of an agent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def for_bash(
    environment: Mapping[str, str], others: Iterable[str], *, files: Mapping[str, str] | None = None
) -> list[str]:
    """Return bash lines that set the variables in `environment`, and unset the variables in `others`.

    `files` maps variables to file names. The lines set these variables to paths in the current folder.
    """
    lines = [f'export {name}="{in_bash(value)}"' for name, value in environment.items()]
    lines += [f'export {name}="$PWD/{file}"' for name, file in (files or {}).items()]
    return [*lines, f"unset {' '.join(others)}"]


def for_powershell(
    environment: Mapping[str, str], others: Iterable[str], *, files: Mapping[str, str] | None = None
) -> list[str]:
    """Return PowerShell lines that set the variables in `environment`, and unset the variables in `others`.

    `files` maps variables to file names. The lines set these variables to paths in the current folder.
    """
    lines = [f'$env:{name} = "{in_powershell(value)}"' for name, value in environment.items()]
    lines += [f'$env:{name} = "$PWD\\{file}"' for name, file in (files or {}).items()]
    return [*lines, f"Remove-Item {', '.join(f'Env:{name}' for name in others)} -ErrorAction SilentlyContinue"]


def in_bash(text: str) -> str:
    """Escape the text for double quotes in bash."""
    return "".join(f"\\{char}" if char in '\\"$`' else char for char in text)


def in_powershell(text: str) -> str:
    """Escape the text for double quotes in PowerShell."""
    return "".join(f"`{char}" if char in '`"$' else char for char in text)
