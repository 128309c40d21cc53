"""The OAuth token endpoint gives a stock client its delegation token, or an error that the client understands."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import token_endpoint as oauth
from attesting import SHOWN
from authsec.jose import PrivateKey, parse_compact
from authsec_server.attestation import service as attestation
from token_endpoint import ISSUER, asserted, by_assertion, post
from trusted_issuers import ENDPOINT, agent, trust
from workload_evidence import github, kubernetes, spire

API = "/authsec/api/v1"
KEY, OTHER = PrivateKey.generate_ec(), PrivateKey.generate_ec()
UNKNOWN = "00000000-0000-4000-8000-000000000000"

House = Any


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    """An authority whose every request to the admin API is the local operator's."""
    return house(local_operator=True)


def secret_of(door: Any, client_id: str) -> str:
    """A new secret of the client."""
    made: str = door.post(f"{API}/clients/{client_id}/proofs", json={"platform": "secret"}).json()["client_secret"]
    return made


def claims(answer: Any) -> dict[str, Any]:
    """The claims of the token in the answer."""
    assert answer.status_code == 200, answer.text
    return dict(parse_compact(answer.json()["access_token"]).claims)


def told(answer: Any) -> tuple[int, str, str]:
    """The status, the code and the reason of a refusal."""
    body = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert body["request_id"].startswith("req_")
    assert set(body["error_description"]) <= set(map(chr, range(0x20, 0x7F))) - {'"', "\\"}  # RFC 6749 section 5.2
    return answer.status_code, body["error"], body["reason"]


def test_a_key_pair_that_somebody_else_made_gets_a_token_by_the_slug_of_its_agent(its: House) -> None:
    agent_ = its.delegated_agent("Night Owl", key=KEY)
    answer = by_assertion(its.door(), asserted(KEY, "night-owl", its.clock.now()), resource="authsec-api")
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert {name: value for name, value in body.items() if name != "access_token"} == {
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "customers:read",
    }
    found = claims(answer)
    assert (found["client_id"], found["aud"], found["scope"]) == (agent_.client_id, ["authsec-api"], "customers:read")
    (issued,) = [each.event for each in its.events() if each.event.kind == "token.issued"]
    assert (issued.jti, issued.detail["attestation"]) == (found["jti"], "key_pair")


def test_the_builder_of_a_client_names_its_key(its: House) -> None:
    """The `kid` of an OAuth library is a name in its own configuration, and the authority has the key alone."""
    agent_ = its.delegated_agent("Night Owl", key=KEY)
    added = its.door().post(
        f"{API}/clients/night-owl/proofs", json={"platform": "key", "public_key": OTHER.public.to_pem().decode()}
    )
    assert added.status_code == 201

    def ask(key: PrivateKey, kid: str) -> int:
        assertion = asserted(key, agent_.client_id, its.clock.now(), header={"kid": kid})
        return int(by_assertion(its.door(), assertion).status_code)

    mine, other = KEY.public.thumbprint(), OTHER.public.thumbprint()
    assert [ask(key, kid) for key in (KEY, OTHER) for kid in ("key-1", mine, other)] == [200, 200, 401, 200, 401, 200]
    assert ask(PrivateKey.generate_ec(), "key-1") == 401


def test_both_endpoints_issue_the_same_token(its: House) -> None:
    agent_ = its.delegated_agent("Night Owl", key=KEY)
    old = its.door().get(
        ENDPOINT,
        params={"client_id": agent_.client_id},
        headers={"Authorization": f"Bearer {asserted(KEY, agent_.client_id, its.clock.now())}"},
    )
    new = claims(by_assertion(its.door(), asserted(KEY, agent_.client_id, its.clock.now())))
    same = dict(parse_compact(old.json()["token"]).claims)
    assert {name for name in same | new if same.get(name) != new.get(name)} == {"jti"}


@pytest.mark.parametrize("named", ["id", "slug"])
def test_a_secret_is_taken_in_the_header_or_in_the_form(its: House, named: str) -> None:
    door, client_id = its.door(), its.delegated_name("Night Owl")
    secret, name = secret_of(door, client_id), client_id if named == "id" else "night-owl"
    encoded = b64encode(f"{quote(name).replace('-', '%2D')}:{secret.replace('_', '%5F')}".encode()).decode()
    for answer in (
        post(door, auth=(name, secret)),
        post(door, auth=(name, secret), client_id=name),
        door.post(oauth.PATH, data={"grant_type": "client_credentials"}, headers={"Authorization": f"basic {encoded}"}),
        post(door, client_id=name, client_secret=secret),
    ):
        assert claims(answer)["client_id"] == client_id


@pytest.mark.parametrize(
    ("make", "type_"),
    [
        (kubernetes, oauth.PRIVATE_KEY_JWT),
        (github, oauth.PRIVATE_KEY_JWT),
        (spire, oauth.JWT_SPIFFE),
        (spire, oauth.PRIVATE_KEY_JWT),
    ],
)
def test_a_workload_authenticates_by_its_own_token(its: House, make: Callable[[], Any], type_: str) -> None:
    issuer = make()
    trust(its, issuer)
    client_id = agent(its, issuer, *SHOWN[issuer.trusted_issuer.kind], name="Night Owl")
    for name in (client_id, "night-owl"):
        answer = by_assertion(its.door(), issuer.token(), client_id=name, client_assertion_type=type_)
        assert claims(answer)["attestation"]["source"] == issuer.trusted_issuer.id
    if type_ == oauth.PRIVATE_KEY_JWT:
        missing = by_assertion(its.door(), issuer.token(), client_assertion_type=type_)
        assert told(missing) == (400, "invalid_request", "invalid_request")


def test_an_svid_names_its_client_by_its_spiffe_id(its: House) -> None:
    domain, jobs = spire(), github()
    for issuer in (domain, jobs):
        trust(its, issuer)
    subject = domain.claims()["sub"]
    client_id = agent(its, domain, ("spiffe:id", subject), name="Night Owl")
    agent(its, jobs, ("github:repository", "example/support-agent"), name="Job")

    def ask(token: str, **form: Any) -> Any:
        return by_assertion(its.door(), token, client_assertion_type=oauth.JWT_SPIFFE, **form)

    for form in ({}, {"client_id": ""}, {"client_id": subject}):
        assert claims(ask(domain.token(), **form))["client_id"] == client_id
    refused = (401, "invalid_client", "attestation_invalid")
    assert told(ask(domain.token(), client_id="spiffe://example.org/another")) == refused
    assert told(ask(domain.token(sub="spiffe://example.org/another"))) == refused
    assert told(ask(jobs.token())) == refused
    assert told(ask("x")) == refused
    agent(its, domain, ("spiffe:id", subject), name="Second")
    its.delegated_name("So that the authority changes")
    assert told(ask(domain.token())) == refused
    assert claims(ask(domain.token(), client_id="night-owl"))["client_id"] == client_id


@pytest.mark.parametrize("make", [kubernetes, github])
def test_only_a_trust_domain_signs_what_is_sent_as_an_svid(its: House, make: Callable[[], Any]) -> None:
    issuer = make()
    trust(its, issuer)
    client_id = agent(its, issuer, *SHOWN[issuer.trusted_issuer.kind])
    answer = by_assertion(its.door(), issuer.token(), client_id=client_id, client_assertion_type=oauth.JWT_SPIFFE)
    assert told(answer) == (401, "invalid_client", "attestation_invalid")


def test_scope_and_resource_narrow_the_token(its: House) -> None:
    its.delegated_agent("Night Owl", key=KEY, actions=("customers:read", "customers:delete"), audiences=("a", "b", "c"))

    def ask(**form: Any) -> Any:
        return claims(by_assertion(its.door(), asserted(KEY, "night-owl", its.clock.now()), **form))

    assert ask()["aud"] == ["a", "b", "c"]
    assert ask(resource=["b", "", "a"])["aud"] == ["a", "b"]
    assert ask(scope="customers:read", resource="c")["scope"] == "customers:read"
    assert ask(scope="", audience=["a", "b"], unknown=["1", "2"])["scope"] == "customers:delete customers:read"


def test_a_parameter_that_may_not_occur_twice(its: House) -> None:
    door, client_id = its.door(), its.delegated_name()
    secret = secret_of(door, client_id)
    form: dict[str, Any] = {"client_id": client_id, "client_secret": secret, "scope": "customers:read"}
    assert claims(post(door, **form | {"scope": ["", "customers:read"]}))
    for name, value in form.items():
        assert told(post(door, **form | {name: [value, value]})) == (400, "invalid_request", "invalid_request"), name
    twice = post(door, **form, grant_type=["client_credentials"] * 2)
    assert told(twice) == (400, "invalid_request", "invalid_request")


def refusals(its: House) -> dict[str, Any]:
    """A request for each line of the table in docs/oauth.md."""
    door = its.door()

    def delegated(name: str, **delegation: Any) -> tuple[str, PrivateKey]:
        key = PrivateKey.generate_ed25519()
        return its.delegated_agent(name, key=key, **delegation).client_id, key

    def ask(client: tuple[str, PrivateKey], **form: Any) -> Any:
        return by_assertion(door, asserted(client[1], client[0], its.clock.now()), **form)

    good, disabled, idle, ended = (delegated(name) for name in ("Good", "Disabled", "Idle", "Ended"))
    excluded = delegated("Excluded", excluded_proofs=("key_pair",))
    door.post(f"{API}/clients/{disabled[0]}/disable")
    for client, verb in ((idle, "disable"), (ended, "revoke")):
        (found,) = door.get(f"{API}/delegations", params={"client": client[0]}).json()["items"]
        assert door.post(f"{API}/delegations/{found['id']}/{verb}").status_code == 200
    open_ = its.delegated_name("Open")
    return {
        "attestation_required": post(door),
        "attestation_required, named": post(door, client_id=good[0]),
        "attestation_required, unattested": post(door, client_id=open_),
        "client unknown": ask((UNKNOWN, KEY)),
        "attestation_invalid": ask((good[0], KEY)),
        "client_disabled": ask(disabled),
        "no_delegation": ask(idle),
        "delegation_ended": ask(ended),
        "proof_not_accepted": ask(excluded),
        "action_not_allowed": ask(good, scope="customers:delete customers:read"),
        "invalid_scope": ask(good, scope="customers:*"),
        "openid": ask(good, scope="openid"),
        "invalid_target": ask(good, resource="https://other.example"),
        "malformed resource": ask(good, resource="not a resource"),
    }


MATRIX = {
    "attestation_required": (401, "invalid_client", "attestation_required"),
    "attestation_required, named": (401, "invalid_client", "attestation_required"),
    "attestation_required, unattested": (401, "invalid_client", "attestation_required"),
    "client unknown": (401, "invalid_client", "attestation_invalid"),
    "attestation_invalid": (401, "invalid_client", "attestation_invalid"),
    "client_disabled": (401, "invalid_client", "client_disabled"),
    "no_delegation": (400, "unauthorized_client", "no_delegation"),
    "delegation_ended": (400, "unauthorized_client", "delegation_ended"),
    "proof_not_accepted": (400, "unauthorized_client", "proof_not_accepted"),
    "action_not_allowed": (400, "invalid_scope", "action_not_allowed"),
    "invalid_scope": (400, "invalid_scope", "invalid_scope"),
    "openid": (400, "invalid_scope", "invalid_scope"),
    "invalid_target": (400, "invalid_target", "invalid_target"),
    "malformed resource": (400, "invalid_target", "invalid_target"),
}


def test_each_refusal_has_its_code_and_its_reason(house_on_each: Callable[..., House]) -> None:
    answers = refusals(house_on_each(local_operator=True))
    assert {name: told(answer) for name, answer in answers.items()} == MATRIX
    too_much = answers["action_not_allowed"].json()
    assert (too_much["missing_actions"], too_much["allowed_scope"]) == (["customers:delete"], "customers:read")
    assert too_much["grant_at"].startswith(ISSUER)
    assert "openid" in answers["openid"].json()["error_description"]


def test_the_holder_of_the_key_is_told_what_is_wrong_with_its_assertion(its: House) -> None:
    agent_ = its.delegated_agent(key=KEY)
    answer = by_assertion(its.door(), asserted(KEY, agent_.client_id, its.clock.now() - timedelta(hours=1)))
    assert told(answer) == (401, "invalid_client", "attestation_invalid")
    assert "expired" in answer.json()["error_description"]


def test_an_assertion_with_a_late_end_is_valid_for_five_minutes(its: House) -> None:
    """Authlib always writes an `exp` of one hour."""
    agent_ = its.delegated_agent(key=KEY)
    began = its.clock.now()

    def ask(*, made: Any = began, jti: str = "one", **changes: Any) -> Any:
        return by_assertion(its.door(), asserted(KEY, agent_.client_id, made, jti=jti, **changes))

    hour = int(began.timestamp()) + 3600
    assert ask(exp=hour, iat=None).status_code == ask(exp=hour + 31).status_code == 401
    assert ask(exp=hour).status_code == 200
    assert "already used" in ask(exp=hour).json()["details"]
    its.clock.at += timedelta(seconds=329)
    assert ask(exp=hour, jti="two").status_code == 200
    its.clock.at += timedelta(seconds=1)
    assert "expired" in ask(exp=hour, jti="three").json()["details"]

    its.clock.at = began + timedelta(seconds=3400)  # the delegation-token endpoint looks at `exp` alone
    its.authority.database.append(lambda tx: attestation.forget_used(tx, its.clock.now()))
    replayed = {"Authorization": f"Bearer {asserted(KEY, agent_.client_id, began, jti='one', exp=hour)}"}
    refused = its.door().get(ENDPOINT, params={"client_id": agent_.client_id}, headers=replayed)
    assert "already used" in refused.json()["details"]


def test_a_request_over_a_limit_is_refused_at_both_endpoints(house: Callable[..., House]) -> None:
    its = house(address_limit=2)
    door, other = its.door("198.51.100.7"), its.door("198.51.100.8")
    assert door.get(ENDPOINT, params={"client_id": UNKNOWN}).status_code == 404
    assert post(door).status_code == 401
    refused = post(door)
    assert told(refused) == (429, "temporarily_unavailable", "rate_limited")
    assert (refused.headers["Retry-After"], refused.json()["retryable"]) == ("30", True)
    assert door.get(ENDPOINT, params={"client_id": UNKNOWN}).status_code == 429
    assert post(other).status_code == 401


def test_a_client_over_its_limit_is_refused_at_both_endpoints(house: Callable[..., House]) -> None:
    its = house(client_limit=1)
    agent_ = its.delegated_agent(key=KEY)
    assert by_assertion(its.door(), agent_.assertion()).status_code == 200
    assert told(by_assertion(its.door(), agent_.assertion())) == (429, "temporarily_unavailable", "rate_limited")
    old = its.door().get(
        ENDPOINT, params={"client_id": agent_.client_id}, headers={"Authorization": f"Bearer {agent_.assertion()}"}
    )
    assert old.status_code == 429


def test_without_a_record_no_token_is_issued(its: House) -> None:
    agent_ = its.delegated_agent(key=KEY)
    its.authority.tokens.close()
    answer = by_assertion(its.door(), agent_.assertion())
    assert told(answer) == (503, "temporarily_unavailable", "unavailable")
    assert (answer.headers["Retry-After"], answer.json()["retryable"]) == ("1", True)


def test_refusals_of_unauthenticated_callers_are_counted_with_their_cause(its: House) -> None:
    agent_ = its.delegated_agent("Night Owl", key=KEY)
    for _ in range(2):
        by_assertion(its.door(), asserted(PrivateKey.generate_ec(), "night-owl", its.clock.now()))
        by_assertion(its.door(), asserted(KEY, "no-such-agent", its.clock.now()))
    found = [each.event for each in its.events() if each.event.kind == "token.refused"]
    assert {(each.reason, each.client.id if each.client else None) for each in found} == {
        ("attestation_invalid", agent_.client_id),
        ("client_not_found", None),
    }


def test_each_failed_check_of_a_client_has_an_event_with_its_remedy(house_on_each: Callable[..., House]) -> None:
    its = house_on_each(local_operator=True)
    door, agent_ = its.door(), its.delegated_agent("Night Owl", key=KEY)
    secret = secret_of(door, agent_.client_id)
    new, other = its.clock.now(), PrivateKey.generate_ec()
    for key, made, changes in ((KEY, new, {"aud": f"{ISSUER}/oauth/token"}), (KEY, new, {"exp": 1}), (other, new, {})):
        by_assertion(door, asserted(key, "night-owl", made, **changes))
    used = asserted(KEY, "night-owl", new)
    statuses = [by_assertion(door, used).status_code for _ in range(3)]
    post(door, auth=("night-owl", secret[:-1]))
    assert statuses == [200, 401, 401]
    stories = [
        door.get(f"{API}/events/{each.id}").json() for each in its.events() if each.event.kind == "token.refused"
    ]
    found = [each["items"][0] for each in stories]
    assert {each["event"]["detail"]["failed"][:25]: each["remedy"]["text"][:28] for each in found} == {
        "`aud` must be exactly htt": "The agent signed with its re",
        "The assertion has expired": "The agent signed with its re",
        "The assertion is not sign": "The agent signed with a key ",
        "This assertion was alread": "The agent signed with its re",
        "The secret is wrong, has ": "The agent sent a secret that",
    }
    page = door.get(f"/console/activity/{found[0]['event']['id']}").text
    assert ("Add a proof" in page, "must be exactly" in page) == (False, True)


def test_a_refusal_names_what_to_check_of_the_credential_that_was_sent(its: House) -> None:
    door, agent_ = its.door(), its.delegated_agent("Night Owl", key=KEY)
    secret_of(door, agent_.client_id)

    def details(name: str, *, basic: bool = False, by_key: bool = False) -> str:
        if by_key:
            answer = by_assertion(door, asserted(PrivateKey.generate_ec(), name, its.clock.now()))
        elif basic:
            answer = post(door, auth=(name, "wrong"))
        else:
            answer = post(door, client_id=name, client_secret="wrong")
        assert told(answer) == (401, "invalid_client", "attestation_invalid")
        assert len(answer.json()["details"]) <= 400, "the SDKs show no more"
        return str(answer.json()["details"])

    for known, unknown in (("night-owl", "no-such-agent"), (agent_.client_id, UNKNOWN)):
        secrets = [details(name, basic=basic) for name in (known, unknown) for basic in (True, False)]
        assert len({*secrets}) == 1
        assert "secret" in secrets[0]
        assert "assertion" not in secrets[0]
        assertions = [details(name, by_key=True) for name in (known, unknown)]
        assert len({*assertions}) == 1
        assert "`exp` at most 300 seconds from now (3600 with a fresh `iat`)" in assertions[0]
