"""What may be registered as a trusted issuer, and what is said of the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from authsec.jose import PrivateKey
from authsec_server.clients.pod_token import projected_volume
from authsec_server.failures import Invalid
from authsec_server.issuers.addresses import parse_audience
from authsec_server.issuers.claims import PRESETS
from authsec_server.issuers.key_set_parsing import MAX_KEYS, UnusableKeys, as_document, read_key_set
from authsec_server.issuers.model import (
    KeysFrom,
    ProposedTrustedIssuer,
    Provenance,
    TrustedIssuer,
    TrustedIssuerKind,
    provable,
    provenance,
)
from authsec_server.issuers.validation import cannot_share, checked, edited, narrows, same_keys
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
RSA = PrivateKey.generate_rsa()
P256, P384, P521 = (PrivateKey.generate_ec(curve) for curve in ("P-256", "P-384", "P-521"))
CLUSTER = {"name": "Production", "kind": "kubernetes", "issuer": "https://k8s.example.com", "keys_from": "discovery"}
DOMAIN = {"name": "Mesh", "kind": "spiffe", "issuer": "example.org", "keys_from": "url"}
CI = {
    "name": "CI",
    "kind": "oidc",
    "issuer": "https://ci.example.com",
    "keys_from": "discovery",
    "claims": {"ci:repository": "repository"},
}
BUNDLE_URL = "https://spire.example.org/bundle"


def jwk(key: PrivateKey = P256, kid: str = "one", **members: Any) -> dict[str, Any]:
    return {**key.public.to_jwk(), "kid": kid, **members}


def jwks(*keys: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"keys": list(keys or (jwk(),)), **members}


def private_jwk() -> dict[str, Any]:
    secret = ec.generate_private_key(ec.SECP256R1())
    public = PrivateKey(secret).public.to_jwk()
    return {**public, "kid": "one", "d": public["x"]}


def trusted_issuer(base: dict[str, Any] = CLUSTER, **what: Any) -> TrustedIssuer:
    return checked(ProposedTrustedIssuer(**{**base, **what}), id="an id", now=NOW)


def pasted(base: dict[str, Any] = CLUSTER, *keys: dict[str, Any], **what: Any) -> TrustedIssuer:
    return trusted_issuer(base, keys_from="given", given_keys=jwks(*keys), **what)


def refused(base: dict[str, Any] = CLUSTER, **what: Any) -> Invalid:
    with pytest.raises(Invalid) as caught:
        trusted_issuer(base, **what)
    return caught.value


def test_a_cluster_as_it_was_asked_for() -> None:
    made = trusted_issuer(audience="https://authsec.example.com")
    assert (made.slug, made.kind, made.keys_from) == ("production", TrustedIssuerKind.KUBERNETES, KeysFrom.DISCOVERY)
    assert (made.issuer, made.audience, made.created_at) == (
        "https://k8s.example.com",
        "https://authsec.example.com",
        NOW,
    )
    assert (made.enabled, made.revision, made.given_keys, made.ca) == (True, 1, None, "")


@pytest.mark.parametrize(
    "issuer",
    [
        "https://k8s.example.com/",
        "https://oidc.eks.eu-west-1.amazonaws.com/id/ABCDEF",
        "https://kubernetes.default.svc.cluster.local",
        "http://127.0.0.1:8443",
        "http://localhost:8443/x",
        "http://[::1]:1",
    ],
)
def test_an_issuer_is_kept_to_the_letter(issuer: str) -> None:
    assert trusted_issuer(issuer=issuer).issuer == issuer


@pytest.mark.parametrize(
    ("issuer", "says"),
    [
        ("", "must not be empty"),
        ("k8s.example.com", "does not begin with https://"),
        ("http://k8s.example.com", "plain http"),
        ("https://k8s.example.com?x=1", "has a query"),
        ("https://k8s.example.com/#x", "cannot be used"),
        ("https://user@k8s.example.com", "user name"),
        ("https://k8s.example.com/\u202e", "cannot be used"),
        ("https://" + "a" * 2000, "at most 2000"),
    ],
)
def test_an_issuer_that_is_none_is_told_why(issuer: str, says: str) -> None:
    failure = refused(issuer=issuer)
    assert failure.field == "issuer"
    assert says in failure.message


@pytest.mark.parametrize(
    ("typed", "write"),
    [
        ("spiffe://example.org", "Write example.org"),
        ("spiffe://example.org/agent/x", "Write example.org"),
        ("Example.org", "Write example.org"),
        (" example.org", "Write example.org"),
        ("exämple.org", "e.g. example.org"),
        ("", "e.g. example.org"),
        ("a" * 256, "e.g. example.org"),
    ],
)
def test_a_trust_domain_that_is_none_is_told_what_to_write(typed: str, write: str) -> None:
    failure = refused(DOMAIN, keys_url=BUNDLE_URL, issuer=typed)
    assert (failure.field, failure.remedy) == ("issuer", write)


def test_a_trust_domain_is_a_name() -> None:
    assert trusted_issuer(DOMAIN, keys_url=BUNDLE_URL, issuer="prod_1.example-2.org").issuer == "prod_1.example-2.org"


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (CLUSTER, {"name": ""}, "name"),
    (CLUSTER, {"slug": "Not A Slug"}, "slug"),
    (CLUSTER, {"kind": "vault"}, "kind"),
    (CLUSTER, {"keys_from": "somewhere"}, "keys_from"),
    (DOMAIN, {"keys_from": "discovery"}, "keys_from"),
    (DOMAIN, {"keys_url": ""}, "keys_url"),
    (DOMAIN, {"keys_url": "http://spire.example.org/bundle"}, "keys_url"),
    (CLUSTER, {"keys_url": "https://k8s.example.com/openid/v1/jwks"}, "keys_url"),
    (CLUSTER, {"given_keys": jwks()}, "given_keys"),
    (CLUSTER, {"keys_from": "given"}, "given_keys"),
    (CLUSTER, {"keys_from": "given", "given_keys": {}}, "given_keys"),
    (CLUSTER, {"keys_from": "given", "given_keys": {"keys": []}}, "given_keys"),
    (CLUSTER, {"keys_from": "given", "given_keys": jwk()}, "given_keys"),
    (CLUSTER, {"keys_from": "given", "given_keys": jwks(), "ca": "x"}, "ca"),
    (CLUSTER, {"ca": "not a certificate"}, "ca"),
    (CLUSTER, {"ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "ca"),
    (CLUSTER, {"ca": "x" * 40_000}, "ca"),
    (CLUSTER, {"audience": "a" * 256}, "audience"),
    (CLUSTER, {"audience": " x"}, "audience"),
    (CLUSTER, {"audience": "a\nb"}, "audience"),
    (CLUSTER, {"claims": {"ci:x": "x"}}, "claims"),
    (CLUSTER, {"preset": "github"}, "claims"),
    (CI, {"claims": {}}, "claims"),
    (CI, {"preset": "githbu"}, "preset"),
    (CI, {"claims": {"ci": "x"}}, "claims"),
    (CI, {"claims": {"CI:x": "x"}}, "claims"),
    (CI, {"claims": {"ci:x": ""}}, "claims"),
    (CI, {"claims": {"ci:x": " x"}}, "claims"),
    (CI, {"claims": {f"ci:{n}": "x" for n in range(51)}}, "claims"),
]


@pytest.mark.parametrize(("base", "what", "field"), REFUSED)
def test_what_is_refused_is_named(base: dict[str, Any], what: dict[str, Any], field: str) -> None:
    assert refused(base, **what).field == field


@pytest.mark.parametrize("key", ["k8s:ns", "docker:label", "unix:uid", "spiffe:id"])
def test_an_issuer_cannot_say_what_only_a_platform_knows(key: str) -> None:
    assert "no OpenID Connect issuer can prove" in refused(CI, claims={key: "x"}).message


@given(st.text(max_size=12))
def test_no_claim_ever_passes_for_a_selector_of_a_platform(rest: str) -> None:
    for platform in ("k8s:", "docker:", "unix:", "spiffe:"):
        with pytest.raises(Invalid):
            trusted_issuer(CI, claims={platform + rest: "x"})


def test_a_preset_names_claims_and_others_come_on_top() -> None:
    made = trusted_issuer(CI, preset="github", claims={"github:ref": "sub", "ci:team": "team"})
    assert made.claims == {**PRESETS["github"], "github:ref": "sub", "ci:team": "team"}
    assert list(made.claims) == sorted(made.claims)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_one_that_could_be_typed_and_maps_the_subject(preset: str) -> None:
    made = trusted_issuer(CI, claims={}, preset=preset)
    assert made.claims["oidc:sub"] == "sub"
    assert provable(made) == tuple(made.claims)
    assert all(provenance(made, key) is Provenance.TOKEN for key in made.claims)


def test_names_stand_beside_ids_that_are_never_given_twice() -> None:
    assert (
        PRESETS["github"].items()
        >= {"github:repository": "repository", "github:repository_id": "repository_id"}.items()
    )
    assert (
        PRESETS["gitlab"].items() >= {"gitlab:project_path": "project_path", "gitlab:project_id": "project_id"}.items()
    )
    assert PRESETS["google"].items() >= {"google:email": "email", "google:sub": "sub"}.items()
    assert PRESETS["azure"].items() >= {"azure:oid": "oid", "azure:tid": "tid"}.items()


def test_what_each_kind_can_prove() -> None:
    cluster, domain = trusted_issuer(), trusted_issuer(DOMAIN, keys_url=BUNDLE_URL)
    assert provable(cluster) == ("k8s:node-name", "k8s:ns", "k8s:pod-name", "k8s:pod-uid", "k8s:sa")
    assert all(provenance(cluster, key) is Provenance.TOKEN for key in provable(cluster))
    assert provenance(cluster, "k8s:pod-label:app") is Provenance.NEVER
    assert provable(domain) == ("spiffe:id",)
    assert provenance(domain, "k8s:pod-image") is Provenance.SPIRE
    assert provenance(domain, "github:ref") is Provenance.NEVER
    assert {each.shown for each in Provenance} == {
        "proved by the token",
        "proved by look-up",
        "enforced by SPIRE",
        "cannot be proved by this trusted issuer",
    }


def test_pasted_keys_are_kept_without_what_is_no_key() -> None:
    made = pasted(CLUSTER, jwk(RSA, "r", alg="RS256", x5c=["…"]), jwk(P384, "e"), jwk(P256, "enc", use="enc"))
    assert made.given_keys == {
        "keys": [
            {**RSA.public.to_jwk(), "kid": "r", "use": "sig", "alg": "RS256"},
            {**P384.public.to_jwk(), "kid": "e", "use": "sig", "alg": "ES384"},
        ]
    }


def test_a_private_key_is_refused_loudly_and_nothing_of_it_is_repeated() -> None:
    entry = private_jwk()
    failure = refused(keys_from="given", given_keys=jwks(jwk(P384, "other"), entry))
    assert (failure.field, "Treat the key as exposed" in failure.message) == ("given_keys", True)
    assert "PRIVATE" in failure.message
    assert entry["d"] not in failure.message + failure.remedy
    assert entry["d"] not in repr(ProposedTrustedIssuer(**CLUSTER, given_keys=jwks(entry)))


def test_a_symmetric_key_is_refused() -> None:
    for entry in ({"kty": "oct", "kid": "one", "k": "c2VjcmV0"}, {"kty": "oct", "kid": "one"}):
        assert "symmetric" in refused(keys_from="given", given_keys=jwks(entry)).message


def test_certificates_are_kept_without_what_stands_around_them(peers: Any) -> None:
    one, two = (peers.Certificate("x").pem.decode() for _ in range(2))
    assert trusted_issuer(ca=f"# ours\n{one}\n\n{two}").ca == one + two
    failure = refused(ca=one + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert "Treat the key as exposed" in failure.message
    assert "does not fetch keys" in refused(keys_from="given", given_keys=jwks(), ca=one).message


# -- key sets


@pytest.mark.parametrize("key", [RSA, P256, P384, P521], ids=["RSA", "P-256", "P-384", "P-521"])
def test_every_key_that_kubernetes_and_spire_sign_with_is_read(key: PrivateKey) -> None:
    for kind, use in ((TrustedIssuerKind.KUBERNETES, "sig"), (TrustedIssuerKind.SPIFFE, "jwt-svid")):
        found = read_key_set(kind, jwks(jwk(key, "one", use=use)))
        assert found.thumbprints == {key.public.thumbprint()}
        assert read_key_set(kind, as_document(kind, found.keys)).thumbprints == found.thumbprints


def test_of_a_bundle_the_keys_of_jwt_svids_count_and_its_hint() -> None:
    members = {"spiffe_sequence": 12, "spiffe_refresh_hint": 300}
    bundle = jwks(jwk(P256, "jwt", use="jwt-svid"), {**jwk(P384, "x", use="x509-svid"), "x5c": ["…"]}, **members)
    found = read_key_set(TrustedIssuerKind.SPIFFE, bundle)
    assert (list(found.keys), found.refresh_hint) == (["jwt"], 300)
    with pytest.raises(UnusableKeys, match="its use is not jwt-svid"):
        read_key_set(TrustedIssuerKind.SPIFFE, jwks(jwk(P384, "x", use="x509-svid")))
    with pytest.raises(UnusableKeys):
        read_key_set(TrustedIssuerKind.OIDC, bundle)


@pytest.mark.parametrize("hint", [None, 0, -5, True, "300", 1.5])
def test_a_hint_that_is_none_is_no_hint(hint: object) -> None:
    found = read_key_set(TrustedIssuerKind.SPIFFE, jwks(jwk(use="jwt-svid"), spiffe_refresh_hint=hint))
    assert found.refresh_hint is None


def test_a_key_that_says_nothing_useful_is_left_out() -> None:
    ed = PrivateKey.generate_ed25519()
    useless = [jwk(ed, "ed"), jwk(kid=""), jwk(kid="k" * 513), {**jwk(), "kid": 7}, jwk(P256, "a", alg="HS256")]
    found = read_key_set(TrustedIssuerKind.OIDC, {"keys": [*useless, "text", None, jwk(P384, "two"), jwk(P521, "two")]})
    assert {kid: key.thumbprint() for kid, key in found.keys.items()} == {"two": P384.public.thumbprint()}


def test_more_keys_than_any_issuer_has_are_not_read() -> None:
    with pytest.raises(UnusableKeys, match="10000 keys"):
        read_key_set(TrustedIssuerKind.OIDC, {"keys": [jwk()] * 10_000})
    assert read_key_set(TrustedIssuerKind.OIDC, {"keys": [jwk()] * MAX_KEYS}).keys


# -- editing


def test_an_edit_leaves_alone_what_it_does_not_name() -> None:
    made = trusted_issuer(CI, audience="us")
    values = edited(made, {"name": "Builds"})
    assert values == {
        "name": "Builds",
        "issuer": made.issuer,
        "keys_from": KeysFrom.DISCOVERY,
        "keys_url": "",
        "given_keys": None,
        "ca": "",
        "audience": "us",
        "claims": {"ci:repository": "repository"},
        "api_server": "",
        "api_ca": "",
        "credentials": "",
        "token_review": False,
        "pod_lookup": False,
    }


def test_with_other_keys_the_old_address_and_certificates_are_forgotten(peers: Any) -> None:
    made = trusted_issuer(DOMAIN, keys_url=BUNDLE_URL, ca=peers.Certificate("x").pem.decode())
    values = edited(made, {"keys_from": "given", "given_keys": jwks(jwk(use="jwt-svid"))})
    assert (values["keys_url"], values["ca"], values["keys_from"]) == ("", "", KeysFrom.GIVEN)
    kept = edited(made, {"keys_url": "https://other.example.org/bundle"})
    assert (kept["keys_url"], kept["ca"]) == ("https://other.example.org/bundle", made.ca)


def test_an_edit_is_checked_like_a_registration() -> None:
    for changes, field in (
        ({"issuer": "spiffe://x"}, "issuer"),
        ({"keys_from": "given"}, "given_keys"),
        ({"claims": {}}, "claims"),
    ):
        with pytest.raises(Invalid) as caught:
            edited(trusted_issuer(CI), changes)
        assert caught.value.field == field


NARROWING: list[tuple[TrustedIssuer, TrustedIssuer, bool]] = [
    (trusted_issuer(), trusted_issuer(name="Another"), False),
    (trusted_issuer(), trusted_issuer(issuer="https://other.example.com"), True),
    (trusted_issuer(), trusted_issuer(audience="x"), True),
    (trusted_issuer(), trusted_issuer(keys_from="url", keys_url="https://k8s.example.com/keys"), True),
    (pasted(), pasted(CLUSTER, jwk(), jwk(P384, "two")), False),
    (pasted(CLUSTER, jwk(), jwk(P384, "two")), pasted(), True),
    (pasted(CLUSTER, jwk(kid="one")), pasted(CLUSTER, jwk(kid="two")), True),
    (pasted(CLUSTER, jwk(P256)), pasted(CLUSTER, jwk(P384)), True),
    (trusted_issuer(CI), trusted_issuer(CI, claims={**CI["claims"], "ci:ref": "ref"}), False),
    (trusted_issuer(CI), trusted_issuer(CI, claims={"ci:repository": "repo"}), True),
    (trusted_issuer(CI), trusted_issuer(CI, claims={"ci:ref": "ref"}), True),
]


@pytest.mark.parametrize(("before", "after", "narrower"), NARROWING)
def test_what_takes_something_away_is_known(before: TrustedIssuer, after: TrustedIssuer, narrower: bool) -> None:
    assert narrows(before, after) is narrower


def test_another_name_leaves_the_keys_and_another_address_does_not() -> None:
    assert same_keys(trusted_issuer(), trusted_issuer(name="Other", audience="x"))
    assert not same_keys(trusted_issuer(), trusted_issuer(issuer="https://other.example.com"))
    one, two = (trusted_issuer(DOMAIN, keys_url=f"{BUNDLE_URL}/{n}") for n in range(2))
    assert not same_keys(one, two)


def test_trusted_issuers_of_one_issuer_need_keys_of_their_own() -> None:
    by_url = [trusted_issuer(DOMAIN, keys_url=f"{BUNDLE_URL}/{n}") for n in range(2)]
    assert cannot_share(by_url[0], {"a"}, by_url[1], {"b"}) == ""
    assert cannot_share(by_url[0], (), by_url[1], ()) == ""
    assert "the same address" in cannot_share(by_url[0], {"a"}, by_url[0], {"b"})
    assert "a key in common" in cannot_share(by_url[0], {"a", "b"}, by_url[1], {"b"})
    assert "come from different addresses" in cannot_share(trusted_issuer(), {"a"}, pasted(), {"b"})
    assert "come from different addresses" in cannot_share(pasted(), {"a"}, trusted_issuer(), {"b"})


@pytest.mark.parametrize(
    "audience", ["https://authsec.example.com", "our: authority", 'an "authority" # or {two}', "on"]
)
def test_a_pods_volume_has_the_audience_as_it_is(audience: str) -> None:
    (volume,) = yaml.safe_load(projected_volume(parse_audience(audience)))["volumes"]
    assert volume["projected"]["sources"][0]["serviceAccountToken"]["audience"] == audience
