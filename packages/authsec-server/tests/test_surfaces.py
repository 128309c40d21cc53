"""`--surface`: which addresses a server has. An address of the other surface is as unknown as any other."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec_server.sdk_wheels import load_wheels
from fake_wheels import fake_wheels
from pages import get
from raw_http import ENDPOINT, listening, request
from served_process import served
from starlette.routing import Route

from .conftest import House

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operate.md"
AGENTS, ADMIN = "agents", "admin"
APART = {"public_url": "https://authsec.example.com", "console_url": "https://console.example.com"}
CONTACT = "mailto:security@example.com"  # else there is no security.txt


def paths(its: House) -> set[str]:
    """The path of each route. Each is a `Route`: nothing is mounted below another address."""
    routes = [each for each in its.authority.app.routes if isinstance(each, Route)]
    assert len(routes) == len(its.authority.app.routes)
    return {each.path for each in routes}


def test_each_route_has_a_surface_and_only_probes_and_public_keys_have_both(house: Callable[..., House]) -> None:
    agents, admin, whole = (
        paths(house(surface=surface, security_contact=CONTACT)) for surface in (AGENTS, ADMIN, "all")
    )
    assert agents | admin == whole
    assert agents & admin == {"/healthz", "/readyz", "/authsec/v1/audit/keys", "/.well-known/security.txt"}
    assert {each for each in whole if each.startswith(("/console", "/authsec/api/"))} <= admin - agents


def test_the_page_names_the_surface_of_each_route(house: Callable[..., House]) -> None:
    agents, admin = (paths(house(surface=surface, security_contact=CONTACT)) for surface in (AGENTS, ADMIN))
    rows = re.findall(r"^\| (`/[^|]*) \| (\w+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    named = {address: surface for cell, surface in rows for address in re.findall("`([^`]+)`", cell)}
    used = set()
    for path in agents | admin:
        fits = [each for each in named if path in (each, each + "/") or path + "/" == each or is_below(path, each)]
        assert len(fits) == 1, (path, fits)
        assert named[fits[0]] == ("both" if path in agents & admin else AGENTS if path in agents else ADMIN), path
        used.update(fits)
    assert used == set(named)


def is_below(path: str, named: str) -> bool:
    return named.endswith("/…") and path.startswith(named.removesuffix("…"))


@pytest.mark.parametrize(("surface", "other"), [(AGENTS, ADMIN), (ADMIN, AGENTS)])
def test_an_address_of_the_other_surface_is_an_unknown_address(
    house: Callable[..., House], surface: str, other: str
) -> None:
    its, its_other = house(surface=surface), house(surface=other)
    door = its.door()

    def answer(method: str, path: str) -> tuple[Any, ...]:
        given = door.request(method, path, headers={"Accept": "text/html"})
        body = {**given.json(), "request_id": ""}
        return given.status_code, body, {*given.headers} - {"content-length"}

    foreign = [re.sub(r"{[^}]+}", "x", path) for path in sorted(paths(its_other) - paths(its))]
    assert len(foreign) > 15
    for method in ("GET", "POST"):
        unknown, unknown_folder = answer(method, "/nowhere"), answer(method, "/nowhere/")
        assert unknown[0] == 404
        for path in foreign:
            assert answer(method, path) == (unknown_folder if path.endswith("/") else unknown), path


def test_the_protocol_answers_no_token_request_on_the_surface_of_administrators(house: Callable[..., House]) -> None:
    agents, admin = house(surface=AGENTS), house(surface=ADMIN)
    client = agents.delegated_name()
    for its, status in ((agents, 200), (admin, 404), (agents, 200), (admin, 404)):
        with listening(its, directly=True) as line:
            assert line().ask(request(client)).status == status
    assert admin.door().get(ENDPOINT, params={"client_id": client}).status_code == 404


def test_links_of_the_console_lead_to_the_console_and_those_for_agents_to_the_issuer(
    house: Callable[..., House], tmp_path: Path
) -> None:
    wheels = load_wheels(fake_wheels(tmp_path))
    settings = APART | {"surface": ADMIN}
    operator = house(local_operator=True, wheels=wheels, **settings)
    client = operator.delegated_agent().client_id
    invited = operator.door().post(
        "/authsec/api/v1/administrators", json={"name": "Ada", "email": "ada@example.com", "role": "admin"}
    )
    link = invited.json()["link"]
    assert link["url"] == f"https://console.example.com{link['path']}"
    connect = get(operator.door(), f"/console/clients/{client}/connect").html
    assert "https://authsec.example.com/authsec/sdk/authsec" in connect
    assert 'AUTHSEC_BASE_URL="https://authsec.example.com"' in connect.replace("&#34;", '"')
    assert "console.example.com" not in connect


def test_a_form_comes_from_the_consoles_own_address(house: Callable[..., House]) -> None:
    door = house(surface=ADMIN, **APART).door(host="console.example.com")
    for origin, status in (
        ("https://console.example.com", 303),
        ("http://console.example.com", 403),
        ("https://agents.example.com", 403),
    ):
        form = {"theme": "dark", "back": "/console"}
        answer = door.post("/console/theme", data=form, headers={"Origin": origin}, follow_redirects=False)
        assert answer.status_code == status, origin
    assert (
        "Secure"
        in door.post("/console/theme", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        .history[0]
        .headers["set-cookie"]
    )
    assert door.get("/readyz", headers={"Host": "elsewhere.example.com"}).status_code in {200, 503}
    assert door.get("/console", headers={"Host": "elsewhere.example.com"}).status_code == 421


def test_the_provider_leads_back_to_the_console(provider: Any) -> None:
    begun = provider.sign_in(**APART).begin("/console")
    assert "redirect_uri=https%3A%2F%2Fconsole.example.com%2Fconsole%2Fsign-in%2Fcallback" in begun.url


def test_commands_ignore_the_surface_of_the_environment(
    authsec: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHSEC_SERVER_SURFACE", AGENTS)
    assert authsec("roles", "list").exit_code == 0


@pytest.mark.soak  # seconds
def test_workers_have_the_surface_of_their_server(postgres_url: str, tmp_path: Path) -> None:
    settings = {"AUTHSEC_SERVER_WORKERS": "2", "AUTHSEC_SERVER_SURFACE": ADMIN}
    with served(postgres_url, tmp_path, **settings) as its:
        answers = {(its.get("/console/sign-in").status_code, its.token("x").status_code) for _ in range(8)}
    assert answers == {(200, 404)}
