"""RFC 7662: an API asks whether a token counts at this moment."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from authsec.jose import PrivateKey, parse_compact, sign_compact
from authsec.verifier.revocations.batch import subjects_of
from authsec_server.clients import service
from authsec_server.failures import Unavailable
from authsec_server.keys.api import metadata
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.tokens.introspection import subjects
from authsec_server.tokens.revocation import revoked
from hypothesis import given
from hypothesis import strategies as st
from introspecting import CRM, INTROSPECT, ask, register, token_for
from process_metrics import metric
from trusted_issuers import operator


def answers() -> dict[str, float]:
    kinds = ("active", "inactive", "refused", "malformed", "unavailable")
    return {it: metric("authsec_introspections_total", answer=it) for it in kinds}


@pytest.mark.sqlite_suffices
def test_a_token_that_counts_is_told_with_its_claims(
    house: Callable[..., Any], database_url: str, tmp_path: Path
) -> None:
    master = tmp_path / "master.key"
    master.touch(0o600)
    master.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    its = house(database=database_url, master_key_file=master)
    secret, token = register(its), token_for(its, CRM)
    door, rows = its.door(), len(its.events())
    answer = ask(door, token, secret, token_type_hint="access_token")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"active": True, "token_type": "Bearer", **parse_compact(token).claims}
    assert {"client_id", "sub", "aud", "iss", "exp", "iat", "nbf", "jti", "scope"} < answer.json().keys()
    assert (answer.headers["Cache-Control"], answer.headers["AuthSec-Audience"]) == ("no-store", CRM)
    basic = "Basic " + base64.b64encode(f"crm:{secret}".encode()).decode()
    assert door.post(INTROSPECT, data={"token": token}, headers={"Authorization": basic}).json()["active"] is True
    assert len(its.events()) == rows  # asking is no act
    revoke = operator(its)
    its.authority.database.change(
        lambda tx: service.revoke_tokens(tx, revoke, parse_compact(token).claims["client_id"])
    )
    assert ask(door, token, secret).json() == {"active": False}


def test_the_metadata_say_where(house: Callable[..., Any]) -> None:
    told = metadata("https://authsec.example.com")
    assert told["introspection_endpoint"] == f"https://authsec.example.com{INTROSPECT}"
    assert told["introspection_endpoint_auth_methods_supported"] == ["Bearer", "client_secret_basic"]
    assert house().door().get("/.well-known/oauth-authorization-server").json()["introspection_endpoint"]


def subject_of(kind: SubjectKind, token: str) -> str:
    jws = parse_compact(token)
    claims = jws.claims
    subjects: dict[SubjectKind, str] = {
        SubjectKind.CLIENT: claims["client_id"],
        SubjectKind.DELEGATION: claims["delegation_ids"][0],
        SubjectKind.ROLE: claims["roles"][0],
        SubjectKind.PROOF: claims["attestation"]["proof"],
        SubjectKind.TRUSTED_ISSUER: claims["attestation"].get("source", ""),
        SubjectKind.KEY: jws.header["kid"],
        SubjectKind.TOKEN: claims["jti"],
    }
    return subjects[kind]


@pytest.mark.parametrize("kind", [kind for kind in SubjectKind if kind is not SubjectKind.TRUSTED_ISSUER])
def test_whatever_a_token_rests_on_ends_it(house: Callable[..., Any], kind: SubjectKind) -> None:
    its = house()
    secret, token, other = register(its), token_for(its, CRM), token_for(its, CRM, name="Other")
    end = its.authority.database.change
    end(lambda tx: revocations.end(tx, kind, subject_of(kind, token), its.clock.now()))
    assert ask(its.door(), token, secret).json() == {"active": False}
    assert ask(its.door(), other, secret).json()["active"] is (kind is not SubjectKind.KEY)


WORDS = st.text("abcdef0123456789-", min_size=1, max_size=8)


@given(
    ids=st.tuples(WORDS, WORDS, WORDS),
    delegations=st.lists(WORDS, min_size=1, max_size=3),
    roles=st.lists(WORDS, max_size=3),
    attestation=st.fixed_dictionaries({"method": WORDS}, optional={"proof": WORDS, "source": WORDS}),
)
def test_a_token_rests_on_the_same_here_and_at_those_who_follow_the_feed(
    ids: tuple[str, str, str], delegations: list[str], roles: list[str], attestation: dict[str, str]
) -> None:
    client_id, jti, kid = ids
    claims: dict[str, Any] = {"client_id": client_id, "jti": jti, "delegation_ids": delegations, "roles": roles}
    claims["attestation"] = attestation
    here = subjects(kid, claims)
    published = {(kind, sha256(id_.encode()).hexdigest() if kind == "role" else id_) for kind, id_ in here}
    assert published == set(subjects_of(claims, kid))
    assert {(SubjectKind.ROLE, role) for role in roles} <= here


def test_a_role_that_is_called_as_a_token_is_numbered_ends_no_token(house: Callable[..., Any]) -> None:
    its = house()
    secret, token = register(its), token_for(its, CRM)
    jti = parse_compact(token).claims["jti"]
    its.authority.database.change(lambda tx: revocations.end(tx, SubjectKind.ROLE, jti, its.clock.now()))
    assert ask(its.door(), token, secret).json()["active"] is True
    assert its.authority.database.read(lambda tx: revoked(tx, its.events())) == {}
    its.authority.database.change(lambda tx: revocations.end(tx, SubjectKind.TOKEN, jti, its.clock.now()))
    assert ask(its.door(), token, secret).json() == {"active": False}
    assert len(its.authority.database.read(lambda tx: revoked(tx, its.events()))) == 1


def test_of_a_token_that_is_none_nothing_is_said(house: Callable[..., Any]) -> None:
    its = house()
    secret, token = register(its), token_for(its, CRM)
    head, body, signature = token.split(".")
    stranger = PrivateKey.generate_rsa()
    forged = sign_compact(
        dict(parse_compact(token).header) | {"kid": stranger.public.thumbprint()}, parse_compact(token).claims, stranger
    )
    for wrong in (f"{head}.{body}.{signature[:-8]}AAAAAAAA", f"{head}.{body}", "x", secret, forged, "ü", "a.b.c"):
        answer = ask(its.door(), wrong, secret)
        assert (answer.status_code, answer.json()) == (200, {"active": False}), wrong
    its.clock.at += timedelta(hours=1)
    assert ask(its.door(), token, secret).json() == {"active": False}  # expired


def test_the_same_data_under_another_name_takes_no_token_of_this_one(house: Callable[..., Any]) -> None:
    here, also = house(), house(public_url="https://also.example.com")
    secret, token = register(here), token_for(here, CRM)
    assert ask(here.door(), token, secret).json()["active"] is True
    assert ask(also.door(), token, secret).json() == {"active": False}


def test_a_server_whose_clock_is_behind_knows_the_token_of_another(house: Callable[..., Any]) -> None:
    its = house()
    secret, token = register(its), token_for(its, CRM)
    its.clock.at -= timedelta(seconds=30)
    assert ask(its.door(), token, secret).json()["active"] is True
    its.clock.at -= timedelta(seconds=1)
    assert ask(its.door(), token, secret).json() == {"active": False}


def test_what_is_malformed_is_told(house: Callable[..., Any]) -> None:
    its = house()
    secret, before = register(its), answers()
    shown = {"Authorization": f"Bearer {secret}"}
    twice = {"content": b"token=x&token=y", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
    cases: list[tuple[dict[str, Any], int]] = [
        ({"data": {}}, 415),
        ({"data": {"token": ""}}, 400),
        ({"data": {"other": "x"}}, 400),
        ({"json": {"token": "x"}}, 415),
        (twice, 400),
    ]
    for sent, status in cases:
        answer = its.door().post(INTROSPECT, **{**sent, "headers": {**sent.get("headers", {}), **shown}})
        told = answer.json()
        assert (answer.status_code, told["error"]) == (status, "invalid_request"), told
        assert {"error_description", "reason", "details", "retryable", "request_id"} <= told.keys()
        assert ("Content-Type: application/x-www-form-urlencoded" in told["details"]) is (status == 415), told
    assert answers()["malformed"] == before["malformed"] + 5


def test_nobody_is_told_how_to_be_somebody(house: Callable[..., Any]) -> None:
    its = house()
    register(its)
    answer = ask(its.door(), token_for(its, CRM))
    assert (answer.status_code, answer.json()["error"], answer.json()["reason"]) == (
        401,
        "invalid_client",
        "api_credential_missing",
    )
    assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert "Basic realm=" in answer.headers["WWW-Authenticate"]
    assert "authsec apis create-credential" in answer.json()["details"]


def test_without_the_database_nothing_is_said(house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    its = house()
    secret, token = register(its), token_for(its, CRM)

    def away(*_: Any) -> None:
        raise Unavailable("The database cannot be reached.")

    monkeypatch.setattr(type(its.authority.database), "_run", away)
    answer = ask(its.door(), token, secret)
    assert (answer.status_code, answer.json()["error"], answer.json()["retryable"]) == (
        503,
        "temporarily_unavailable",
        True,
    )
    assert "Retry-After" in answer.headers
