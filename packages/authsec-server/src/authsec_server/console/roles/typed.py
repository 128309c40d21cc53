"""How the actions of a role are typed: those that APIs describe are ticked, any others written, one a line. Pure."""

from __future__ import annotations

from authsec_server.apis.model import parse_action
from authsec_server.console.forms import Form
from authsec_server.failures import Invalid


def chosen_actions(form: Form, prefix: str = "") -> list[str]:
    """The actions that were ticked, then those that were written; nothing of it has been checked."""
    return [*_ticked(form, prefix), *(text for _, text in _written(form, prefix))]


def actions_at_rows(form: Form, invalid: Invalid, prefix: str = "") -> Invalid:
    """The problem that the room has with the actions, at the field where they were written: each with its line."""
    wrong = []
    for line, text in _written(form, prefix):
        try:
            parse_action(text)
        except Invalid as problem:
            wrong.append(f"Line {line}: {problem.message}")
            invalid = problem
    message = " ".join(wrong) or invalid.message
    return Invalid(f"{prefix}other_actions", message, invalid.remedy)


def _ticked(form: Form, prefix: str) -> list[str]:
    return [text.strip() for text in form.all(f"{prefix}actions") if text.strip()]


def _written(form: Form, prefix: str) -> list[tuple[int, str]]:
    lines = enumerate(form.exact(f"{prefix}other_actions").splitlines(), start=1)
    return [(number, text) for number, line in lines for text in line.replace(",", " ").split()]
