"""An API is registered for a signing algorithm, and from then on its tokens have this algorithm and no other."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import jwt as pyjwt
import pytest
from authsec.verifier import TokenVerifier
from authsec.verifier.revocations.policy import NoRevocations
from authsec_server.apis import service as apis
from authsec_server.keys import service as keys
from authsec_server.keys.key_ring import SigningKeyRing
from authsec_server.keys.model import PUBLISH_AHEAD, Algorithm, KeyState
from authsec_server.keys.signer import Signer
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import Settings
from authsec_server.tokens.hints import remedy_of
from pages import get

from .conftest import NOW, House

pytestmark = pytest.mark.sqlite_suffices

CRM, BILLING = "https://crm.example.com", "https://billing.example.com"
APIS, KEYS, JWKS = "/authsec/api/v1/apis", "/authsec/api/v1/keys", "/.well-known/jwks.json"
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
ISSUER = "http://127.0.0.1:7468"
OTHERS = [Algorithm.ES256, Algorithm.EDDSA]
SIGNATURE_OCTETS = {Algorithm.RS256: 256, Algorithm.ES256: 64, Algorithm.EDDSA: 64}


@pytest.fixture
def its(house_on_each: Callable[..., House]) -> House:
    """An authority on each database, at whose machine we sit."""
    return house_on_each(local_operator=True)


@pytest.fixture
def one(house: Callable[..., House]) -> House:
    """The same, on SQLite alone."""
    return house(local_operator=True)


def register(its: House, identifier: str = CRM, algorithm: str = "RS256", query: str = "") -> dict[str, Any]:
    name = identifier.removeprefix("https://").partition(".")[0]
    body = {"name": name, "identifier": identifier, "signing_algorithm": algorithm}
    answer = its.door().post(APIS + query, json=body)
    assert answer.status_code in {200, 201}, answer.text
    return dict(answer.json())


def edit(its: House, slug: str, algorithm: str) -> None:
    answer = its.door().patch(f"{APIS}/{slug}", json={"signing_algorithm": algorithm}, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text


def ask(its: House, client: str, *resources: str) -> Any:
    return its.door().get(ENDPOINT, params={"client_id": client, "resource": resources})


def token(its: House, client: str, *resources: str) -> str:
    answer = ask(its, client, *resources)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def key_set(its: House) -> dict[str, Any]:
    return dict(its.door().get(JWKS).json())


def algorithms(its: House) -> list[str]:
    return sorted(key["alg"] for key in key_set(its)["keys"])


def kid_of(its: House, algorithm: str, state: str) -> str:
    (kid,) = [
        key["kid"]
        for key in its.door().get(KEYS).json()["items"]
        if (key["algorithm"], key["state"]) == (algorithm, state)
    ]
    return str(kid)


def verifier(its: House, audience: str = CRM, **settings: Any) -> TokenVerifier:
    unfollowed = {"revocations": NoRevocations(), "clock": _Noon()}
    return TokenVerifier(ISSUER, audience, keys=key_set(its), allow_http_hosts=["127.0.0.1"], **unfollowed, **settings)


def act(its: House) -> Act:
    return Act(
        principal=LOCAL_OPERATOR, now=its.clock.now(), request_id="", address="", token_bytes=secrets.token_bytes
    )


def key_ring(its: House) -> SigningKeyRing:
    """What a server of this database does each minute."""
    database = its.authority.database
    settings = Settings()
    master_key = its.authority.tokens.signer._master_key
    return SigningKeyRing(
        database=database,
        signer=Signer(database, master_key),
        master_key=master_key,
        settings=settings,
        token_bytes=secrets.token_bytes,
        wanted=apis.signing_algorithms,
    )


class _Noon:
    def wall(self) -> float:
        return NOW.timestamp()

    def monotonic(self) -> float:
        return 0.0


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_token_has_the_algorithm_of_its_api(its: House, algorithm: Algorithm) -> None:
    """The first token is decided anew, the second one from a template: verifiers of ours and of others take both."""
    register(its, CRM, algorithm)
    client = its.delegated_name(audiences=(CRM,))
    for _ in range(2):
        issued = token(its, client)
        header = pyjwt.get_unverified_header(issued)
        (jwk,) = [key for key in key_set(its)["keys"] if key["kid"] == header["kid"]]
        assert header["alg"] == jwk["alg"] == algorithm
        assert its.events()[-1].event.kid == header["kid"] == kid_of(its, algorithm, "active")
        assert verifier(its, algorithms=[algorithm]).verify(issued).permissions == {"customers:read"}
        without_clock = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        foreign = pyjwt.decode(issued, pyjwt.PyJWK(jwk), [algorithm], audience=CRM, options=without_clock)
        assert foreign["client_id"] == client
        signature = pyjwt.utils.base64url_decode(issued.rpartition(".")[2])
        assert len(signature) == SIGNATURE_OCTETS[algorithm], "RFC 7518 section 3.4: r and s, and no DER"


def test_a_verifier_with_no_setting_takes_what_the_key_set_says(its: House) -> None:
    register(its, CRM, "ES256")
    register(its, BILLING, "EdDSA")
    client = its.delegated_name(audiences=(CRM, BILLING, "authsec-api"))
    for audience in (CRM, BILLING, "authsec-api"):
        assert verifier(its, audience).verify(token(its, client, audience)).agent.endswith(client)


def test_audiences_of_different_algorithms_share_no_token(its: House) -> None:
    register(its, CRM, "ES256")
    register(its, BILLING)
    agent = its.delegated_agent(audiences=(CRM, BILLING))

    def asked(*resources: str) -> Any:
        proof = {"Authorization": f"Bearer {agent.assertion()}"}
        query = {"client_id": agent.client_id, "resource": resources}
        return its.door().get(ENDPOINT, params=query, headers=proof)

    for resources in ((), (CRM, BILLING)):
        refused = asked(*resources)
        assert (refused.status_code, refused.json()["reason"]) == (400, "invalid_target")
        assert refused.json()["details"] == (
            f"{BILLING} takes RS256 and {CRM} takes ES256. One token has one signature algorithm: request a token for "
            "each of these resources."
        )
        event = its.events()[-1].event
        assert event.detail["algorithms"] == {CRM: "ES256", BILLING: "RS256"}
        hint = remedy_of(event)
        assert hint is not None
        assert f"{BILLING}: RS256, {CRM}: ES256" in hint.text
    for resource, algorithm in ((CRM, "ES256"), (BILLING, "RS256")):
        granted = asked(resource)
        assert pyjwt.get_unverified_header(granted.json()["token"])["alg"] == algorithm


def test_a_delegation_for_both_is_warned_about(one: House) -> None:
    register(one, CRM, "ES256")
    one.delegated_name(audiences=(CRM, "unregistered"))
    (shown,) = one.door().get("/authsec/api/v1/delegations").json()["items"]
    assert "algorithms_differ" in {each["code"] for each in shown["warnings"]}


@pytest.mark.parametrize("algorithm", OTHERS)
def test_keys_are_made_when_the_first_api_asks_for_them(its: House, algorithm: Algorithm) -> None:
    assert algorithms(its) == ["RS256", "RS256"]
    register(its, CRM, algorithm, query="?dry_run=1")
    assert algorithms(its) == ["RS256", "RS256"], "a dry run leaves nothing"
    register(its, CRM, algorithm)
    held = sorted(["RS256", "RS256", algorithm, algorithm])
    assert algorithms(its) == held
    made = [each.event for each in its.events() if each.event.kind == "key.created"][-2:]
    assert [(each.detail["algorithm"], each.principal.name) for each in made] == [(algorithm, "authsec server")] * 2
    register(its, BILLING, algorithm)
    assert algorithms(its) == held, "one key signs for all APIs"


def test_an_operator_can_register_an_api_for_any_algorithm(house: Callable[..., House]) -> None:
    body = {"name": "operator", "role": "operator", "expires_in": None}
    key = house(local_operator=True).door().post("/authsec/api/v1/admin-keys", json=body).json()["key"]
    its = house()
    door = its.door(Authorization=f"Bearer {key}")
    answer = door.post(APIS, json={"name": "CRM", "identifier": CRM, "signing_algorithm": "EdDSA"})
    assert (answer.status_code, answer.json()["signing_algorithm"]) == (201, "EdDSA")
    assert algorithms(its) == ["EdDSA", "EdDSA", "RS256", "RS256"]


def test_a_server_that_finds_an_algorithm_without_keys_makes_them(its: House) -> None:
    """So it is where an API was registered by something older, or by a program that changed the table."""
    its.authority.database.change(
        lambda tx: apis.create(tx, act(its), name="CRM", identifier=CRM, signing_algorithm="ES256")
    )
    client = its.delegated_name(audiences=(CRM,))
    assert ask(its, client).status_code == 503
    key_ring(its).keep(act(its))
    assert pyjwt.get_unverified_header(token(its, client))["alg"] == "ES256"


def test_an_edit_changes_the_next_token_and_ends_none(its: House) -> None:
    register(its, CRM)
    client = its.delegated_name(audiences=(CRM,))
    earlier = token(its, client)
    for algorithm in ("ES256", "EdDSA", "RS256", "ES256"):
        edit(its, "crm", algorithm)
        issued = token(its, client)
        assert pyjwt.get_unverified_header(issued)["alg"] == algorithm
        its_verifier = verifier(its)
        assert its_verifier.verify(issued)
        assert its_verifier.verify(earlier), "its key is published until the token has expired"
    edited = [each.event for each in its.events() if each.event.kind == "api.edited"]
    assert edited[0].detail["before"] == {"signing_algorithm": "RS256"}
    assert edited[0].detail["after"] == {"signing_algorithm": "ES256"}


@pytest.mark.parametrize("wrong", ["HS256", "none", "RS512", "PS256", "ES384", "Ed25519", "es256", ""])
def test_no_other_algorithm_can_be_registered(one: House, wrong: str) -> None:
    answer = one.door().post(APIS, json={"name": "CRM", "identifier": CRM, "signing_algorithm": wrong})
    assert answer.status_code == 400
    assert "signing_algorithm" in answer.text


def test_a_rotation_of_one_algorithm_leaves_the_others_alone(its: House) -> None:
    register(its, CRM, "ES256")
    client = its.delegated_name(audiences=(CRM, "authsec-api"))
    earlier = token(its, client, CRM)
    prepared, rsa = kid_of(its, "ES256", "prepared"), kid_of(its, "RS256", "active")
    its.clock.at += PUBLISH_AHEAD
    rotated = its.door().post(KEYS + "/rotate", json={"algorithm": "ES256"})
    assert (rotated.status_code, rotated.json()["kid"], rotated.json()["algorithm"]) == (200, prepared, "ES256")
    assert pyjwt.get_unverified_header(token(its, client, CRM))["kid"] == prepared
    assert pyjwt.get_unverified_header(token(its, client, "authsec-api"))["kid"] == rsa
    assert verifier(its).verify(earlier), "a retired key stays published"


def test_a_revocation_of_one_algorithm_leaves_the_others_alone(its: House) -> None:
    register(its, CRM, "ES256")
    client = its.delegated_name(audiences=(CRM, "authsec-api"))
    token(its, client, CRM)
    active, prepared, rsa = (
        kid_of(its, "ES256", "active"),
        kid_of(its, "ES256", "prepared"),
        kid_of(its, "RS256", "active"),
    )
    assert its.door().post(f"{KEYS}/{active}/revoke", json={}).status_code == 200
    assert pyjwt.get_unverified_header(token(its, client, CRM))["kid"] == prepared
    assert pyjwt.get_unverified_header(token(its, client, "authsec-api"))["kid"] == rsa
    assert active not in {key["kid"] for key in key_set(its)["keys"]}
    assert algorithms(its) == ["ES256", "ES256", "RS256", "RS256"]
    (entry,) = its.door().get("/authsec/v1/revocations?since=0").json()["entries"]
    assert (entry["kind"], entry["subject"]) == ("key", active)


def test_keys_that_no_api_asks_for_are_not_replaced(one: House) -> None:
    register(one, CRM, "EdDSA")
    edit(one, "crm", "RS256")
    for state in ("active", "prepared"):
        one.door().post(f"{KEYS}/{kid_of(one, 'EdDSA', state)}/revoke", json={})
    assert algorithms(one) == ["RS256", "RS256"]
    refused = one.door().post(KEYS + "/rotate", json={"algorithm": "EdDSA", "force": True})
    assert (refused.status_code, refused.json()["error"]) == (
        409,
        "There is no signing key for EdDSA, because no API is registered for EdDSA.",
    )
    edit(one, "crm", "EdDSA")
    assert algorithms(one) == ["EdDSA", "EdDSA", "RS256", "RS256"]


def test_all_algorithms_are_rotated_by_age(its: House) -> None:
    for identifier, algorithm in ((CRM, "ES256"), (BILLING, "EdDSA")):
        register(its, identifier, algorithm)
    before = {each: (kid_of(its, each, "active"), kid_of(its, each, "prepared")) for each in Algorithm}
    its.clock.at += PUBLISH_AHEAD * 9000
    key_ring(its).keep(act(its))
    for algorithm, (active, prepared) in before.items():
        assert kid_of(its, algorithm, "active") == prepared
        found = its.authority.database.read(lambda tx, kid=active: keys.get(tx, act(its), kid))
        assert found.state is KeyState.RETIRED


def test_checkpoints_name_the_keys_of_all_algorithms(one: House) -> None:
    register(one, CRM, "ES256")
    named = one.authority.database.read(keys.signing_kids)
    assert set(named) == {key["kid"] for key in key_set(one)["keys"]}


@pytest.mark.parametrize("algorithm", OTHERS)
def test_the_authority_knows_its_token_again(one: House, algorithm: Algorithm) -> None:
    """Introspection and the revocation endpoint read the token by the key that signed it."""
    register(one, CRM, algorithm)
    credential = one.door().post(f"{APIS}/crm/credentials", json={}).json()["credential"]
    issued = token(one, one.delegated_name(audiences=(CRM,)))

    def is_active() -> bool:
        door = one.door(Authorization=f"Bearer {credential}")
        return bool(door.post("/authsec/v1/introspect", data={"token": issued}).json()["active"])

    assert is_active()
    assert one.door().post("/authsec/v1/revoke", data={"token": issued}).status_code == 200
    assert not is_active()


def test_rsa_keys_are_published_first(one: House) -> None:
    """python-jose, given the whole set, raises at the first key of another kind than the token's."""
    register(one, CRM, "EdDSA")
    register(one, BILLING, "ES256")
    one.door().post(KEYS + "/rotate", json={"force": True})
    published = [key["alg"] for key in key_set(one)["keys"]]
    assert published == ["RS256"] * 3 + ["ES256"] * 2 + ["EdDSA"] * 2


def test_the_metadata_names_the_algorithms_of_tokens(one: House) -> None:
    document = one.door().get("/.well-known/openid-configuration").json()
    assert document["id_token_signing_alg_values_supported"] == [*Algorithm]


def test_a_document_and_the_authority_agree(one: House) -> None:
    register(one, CRM, "ES256")
    register(one, BILLING)
    path = "/authsec/api/v1/configuration"
    document = one.door().get(path).json()["configuration"]
    assert [each.get("signing_algorithm") for each in document["apis"].values()] == [None, "ES256"], "without defaults"
    unchanged = one.door().post(path + "/compare", json={"configuration": document}).json()
    assert unchanged["changes"] == []
    document["apis"]["billing"]["signing_algorithm"] = "EdDSA"
    document["apis"]["new"] = {"identifier": "new-api", "signing_algorithm": "EdDSA"}
    applied = one.door().post(path, json={"configuration": document})
    assert applied.status_code == 200, applied.text
    assert [each["signing_algorithm"] for each in one.door().get(APIS).json()["items"]] == ["EdDSA", "ES256", "EdDSA"]
    assert algorithms(one) == ["ES256", "ES256", "EdDSA", "EdDSA", "RS256", "RS256"], "made by the same change"


def test_an_api_is_registered_and_edited_in_the_console(one: House) -> None:
    door = one.door()
    form = get(door, "/console/apis/new").form()
    assert form.send(name="CRM", identifier=CRM, signing_algorithm="ES256").status == 303
    assert "Signing algorithm ES256" in get(door, "/console/apis/crm").text
    assert "verifies signature (ES256 only)" in get(door, "/console/apis/crm").text
    assert get(door, "/console/apis/crm/edit").form().send(signing_algorithm="EdDSA").status == 303
    assert "Signing algorithm EdDSA" in get(door, "/console/apis/crm").text
    page = get(door, "/console/keys")
    assert [page.links[f"Rotate {each} key"] for each in ("RS256", "ES256")] == [
        "/console/keys/rotate",
        "/console/keys/rotate?algorithm=ES256",
    ]


def test_one_algorithm_is_rotated_in_the_console(one: House) -> None:
    register(one, CRM, "EdDSA")
    prepared, rsa = kid_of(one, "EdDSA", "prepared"), kid_of(one, "RS256", "active")
    page = get(one.door(), "/console/keys/rotate?algorithm=EdDSA")
    assert f"The prepared key {prepared} becomes active." in page.text
    assert page.form().send(force="yes").status == 303
    assert (kid_of(one, "EdDSA", "active"), kid_of(one, "RS256", "active")) == (prepared, rsa)
    assert get(one.door(), "/console/keys/rotate?algorithm=HS256").status == 400
