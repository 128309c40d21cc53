"""APIs' own credentials: made, shown once, replaced without a gap, revoked, and what they prove."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec.api_credential import is_api_credential
from authsec_server.accounts.model.secret import hashed
from authsec_server.apis import credentials, store
from authsec_server.apis import service as apis
from authsec_server.apis.authentication import ApiCredentials, NotProved, ShownCredential, shown_in
from authsec_server.apis.model import Api, CredentialRefusal, Holder
from authsec_server.db import Tx
from authsec_server.failures import Conflict
from authsec_server.principal import Act, Principal, PrincipalKind, Role
from authsec_server.web.request_context import RequestContext
from sqlalchemy import text
from starlette.testclient import TestClient

pytestmark = pytest.mark.sqlite_suffices

CRM = "https://crm.example.com"
PATH = "/authsec/api/v1/apis"
HERE = RequestContext(request_id="req_00000000000000000000test", address="192.0.2.1")


def crm(tx: Tx, act: Act) -> Api:
    return apis.create(tx, act, name="CRM", identifier=CRM)


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


@pytest.fixture
def proving(estate: Any) -> ApiCredentials:
    """The door, by the time of the estate's acts."""
    return ApiCredentials(estate.database, now=lambda: estate.act.now, monotonic=lambda: estate.act.now.timestamp())


def why(proving: ApiCredentials, *sent: str) -> str:
    with pytest.raises(NotProved) as refused:
        proving.prove(sent, HERE)
    return refused.value.why


def test_a_credential_proves_its_api_by_either_scheme(estate: Any, proving: ApiCredentials) -> None:
    api = estate.do(crm)
    made, secret = estate.do(lambda tx, act: credentials.create(tx, act, "crm"))
    assert is_api_credential(secret)
    assert made.name == "2026-11-25"
    for sent in (f"Bearer {secret}", f"bearer  {secret}", basic("crm", secret), basic(api.id, secret)):
        found = proving.prove([sent], HERE)
        assert (found.identifier, found.slug, found.credential.id) == (CRM, "crm", made.id)
    assert secret not in repr(found)
    assert estate.see(lambda tx, act: credentials.of_api(tx, act, "crm"))[0].last_used_at == estate.act.now


def test_what_is_stored_is_a_hash(estate: Any) -> None:
    estate.do(crm)
    _, secret = estate.do(lambda tx, act: credentials.create(tx, act, "crm"))
    rows = estate.see(lambda tx, _: tx.connection.execute(text("SELECT * FROM api_credentials")).all())
    assert hashed(secret) in str(rows)
    assert secret not in str(rows)
    assert secret not in str(estate.events("api.credential_created"))


def test_two_at_once_so_that_one_is_replaced_without_a_gap(estate: Any, proving: ApiCredentials) -> None:
    estate.do(crm)
    first, old = estate.do(lambda tx, act: credentials.create(tx, act, "crm", name="first"))
    _, new = estate.do(lambda tx, act: credentials.create(tx, act, "crm", name="second", life=timedelta(days=1)))
    with pytest.raises(Conflict, match="already has 2 valid credentials"):
        estate.do(lambda tx, act: credentials.create(tx, act, "crm"))
    for secret in (old, new):
        assert proving.prove([f"Bearer {secret}"], HERE)
    for _ in range(2):  # the second one changes nothing, and is recorded
        assert estate.do(lambda tx, act: credentials.revoke(tx, act, "crm", first.id)).revoked_at == estate.act.now
    assert why(proving, f"Bearer {old}") == "api_credential_revoked"
    estate.act = replace(estate.act, now=estate.act.now + timedelta(days=1))
    assert why(proving, f"Bearer {new}") == "api_credential_expired"
    told = [(each.kind, each.subject.name, each.detail["called"]) for each in estate.events("api.credential")]
    assert told == [
        ("api.credential_created", "CRM", "first"),
        ("api.credential_created", "CRM", "second"),
        ("api.credential_revoked", "CRM", "first"),
        ("api.credential_revoked", "CRM", "first"),
    ]


def test_no_two_are_called_the_same(estate: Any) -> None:
    estate.do(crm)
    first, second = (estate.do(lambda tx, act: credentials.create(tx, act, "crm"))[0] for _ in range(2))
    assert (first.name, second.name) == ("2026-11-25", "2026-11-25 (2)")
    estate.do(lambda tx, act: credentials.revoke(tx, act, "crm", first.id))
    with pytest.raises(Conflict, match="'2026-11-25' already") as refused:
        estate.do(lambda tx, act: credentials.create(tx, act, "crm", name=first.name))
    assert refused.value.field == "name"


def test_what_proves_no_api(estate: Any, proving: ApiCredentials) -> None:
    estate.do(crm)
    estate.do(lambda tx, act: apis.create(tx, act, name="Billing", identifier="billing"))
    _, secret = estate.do(lambda tx, act: credentials.create(tx, act, "crm"))
    assert why(proving) == "api_credential_missing"
    assert why(proving, f"Bearer {secret}", f"Bearer {secret}") == "not_an_api_credential"
    for sent in (
        "",
        secret,
        f"Bearer {secret}x",
        f"Digest {secret}",
        basic("", secret),
        "Basic !",
        "Bearer " + "ü" * 9,
    ):
        assert why(proving, sent) == "not_an_api_credential", sent
    assert why(proving, "Bearer authsec_api_" + "x" * 43) == "api_credential_unknown"
    assert why(proving, basic("billing", secret)) == "api_credential_of_another"
    counted = {each.reason: each.subject and each.subject.name for each in estate.events("api.refused")}
    assert counted["api_credential_of_another"] == "CRM"
    assert counted["api_credential_unknown"] is None
    assert proving.recognise([], HERE) is None
    assert proving.recognise(["Bearer x"], HERE) is None
    assert isinstance(proving.recognise([f"Bearer {secret}"], HERE), Holder)


def test_a_credential_goes_with_its_api(estate: Any, proving: ApiCredentials) -> None:
    estate.do(crm)
    _, secret = estate.do(lambda tx, act: credentials.create(tx, act, "crm"))
    estate.do(lambda tx, act: apis.delete(tx, act, "crm"))
    assert why(proving, f"Bearer {secret}") == "api_credential_unknown"


def test_what_ended_long_ago_is_forgotten(estate: Any) -> None:
    estate.do(crm)
    made, _ = estate.do(lambda tx, act: credentials.create(tx, act, "crm"))
    estate.do(lambda tx, act: credentials.revoke(tx, act, "crm", made.id))
    lasting, _ = estate.do(lambda tx, act: credentials.create(tx, act, "crm", name="lasting"))
    later = estate.act.now + timedelta(seconds=1)
    estate.database.append(lambda tx: store.forget_credentials(tx.connection, made.api_id, later))
    assert [each.id for each in estate.see(lambda tx, act: credentials.of_api(tx, act, "crm"))] == [lasting.id]


def test_who_may_and_what_is_refused(estate: Any) -> None:
    estate.do(crm)
    viewer = Principal(kind=PrincipalKind.ADMIN_KEY, id="k", name="viewer", role=Role.VIEWER)
    made, _ = estate.do(lambda tx, act: credentials.create(tx, act, "crm"))
    estate.act = replace(estate.act, principal=viewer)
    assert estate.see(lambda tx, act: credentials.of_api(tx, act, "crm")) == [made]
    for verb in (
        lambda tx, act: credentials.create(tx, act, "crm"),
        lambda tx, act: credentials.revoke(tx, act, "crm", made.id),
    ):
        with pytest.raises(Exception, match="operator"):
            estate.do(verb)


def test_over_http(admin: TestClient) -> None:
    admin.post(PATH, json={"name": "CRM", "identifier": CRM})
    answer = admin.post(f"{PATH}/crm/credentials", json={"name": "crm-1", "expires_in": 86_400})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    made = answer.json()
    assert is_api_credential(made.pop("credential"))
    assert (made["name"], made["last_used_at"], made["revoked_at"]) == ("crm-1", None, None)
    assert admin.get(f"{PATH}/crm/credentials").json() == {"items": [made], "next": None}
    revoked = admin.post(f"{PATH}/crm/credentials/{made['id']}/revoke").json()
    assert revoked["revoked_at"]
    assert admin.post(f"{PATH}/crm/credentials/x/revoke").status_code == 404
    assert admin.post(f"{PATH}/nobody/credentials").status_code == 404
    assert admin.post(f"{PATH}/crm/credentials", json={"expires_in": 1}).json()["field"] == "expires_in"


def test_two_schemes_read_alike() -> None:
    secret = "authsec_api_" + "a" * 43
    assert shown_in([f"Bearer {secret}"]) == ShownCredential(text=secret)
    assert shown_in([basic("crm", secret)]) == ShownCredential(text=secret, api="crm")
    assert secret not in repr(shown_in([f"Bearer {secret}"]))
    assert shown_in([]) is CredentialRefusal.MISSING
