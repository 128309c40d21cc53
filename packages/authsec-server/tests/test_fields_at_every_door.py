"""Each field that can be edited is at each place where people edit: the console's form, and the command's options.

An edit form without an input would empty the field of everything that is edited by it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest
from authsec_server.apis.model import EDITABLE as OF_APIS
from authsec_server.apis.store import api_actions, apis
from authsec_server.cli.agents import agents as agents_command
from authsec_server.cli.apis import apis as apis_command
from authsec_server.cli.roles import roles as roles_command
from authsec_server.clients.model import EDITABLE as OF_CLIENTS
from authsec_server.clients.store import clients
from authsec_server.roles.model import EDITABLE as OF_ROLES
from authsec_server.roles.store import role_actions, roles
from click import Group
from pages import get

API = "/authsec/api/v1"
NAMED = {"name": "Support", "actions": ["customers:read"]}
OFFERING = {
    "name": "CRM",
    "identifier": "https://crm.example.com",
    "actions": [{"action": "customers:read", "description": "Read customer records"}],
}
NOUNS = {
    "clients": (OF_CLIENTS, {"name": "Helper", "platform": "unattested"}, agents_command, (clients,)),
    "roles": (OF_ROLES, NAMED, roles_command, (roles, role_actions)),
    "apis": (
        OF_APIS,
        {"name": "Billing", "identifier": "https://billing.example.com", "actions": []},
        apis_command,
        (apis, api_actions),
    ),
}
SINGULAR = {"labels": "label", "actions": "action"}  # an input, an option or a row for each of them


@pytest.mark.parametrize("noun", NOUNS)
def test_a_field_has_an_input_an_option_and_a_column(noun: str, house: Callable[..., Any]) -> None:
    fields, made, command, tables = NOUNS[noun]
    door = house(local_operator=True).door()
    door.post(f"{API}/apis", json=OFFERING).raise_for_status()
    slug = door.post(f"{API}/{noun}", json=made).raise_for_status().json()["slug"]
    form = get(door, f"/console/{noun}/{slug}/edit").form()
    assert lacking(fields, {name for name, _ in form.fields}) == []
    assert lacking(fields, options(command)) == []
    assert lacking(fields, {column.name for table in tables for column in table.columns}) == []


def lacking(fields: Collection[str], there: Collection[str]) -> list[str]:
    return [name for name in fields if name not in there and SINGULAR.get(name) not in there]


def options(command: Group) -> Collection[str]:
    """The options of `edit`."""
    return {name.removeprefix("--").replace("-", "_") for each in command.commands["edit"].params for name in each.opts}
