"""The verbs of trusted issuers, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit.model import Named
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted, Outdated
from authsec_server.issuers import service, store
from authsec_server.issuers.model import ProposedTrustedIssuer, TrustedIssuer, TrustedIssuerKind
from authsec_server.principal import Principal, PrincipalKind, Role
from authsec_server.revocations.model import SubjectKind

pytestmark = pytest.mark.sqlite_suffices

ONE, TWO = (PrivateKey.generate_ec().public for _ in range(2))
IN_CLUSTER = "https://kubernetes.default.svc.cluster.local"
CI = {
    "name": "CI",
    "kind": "oidc",
    "issuer": "https://ci.example.com",
    "keys_from": "discovery",
    "claims": {"ci:repository": "repository"},
}
CLUSTER = {"name": "Production", "kind": "kubernetes", "issuer": IN_CLUSTER}


def jwks(**named: Any) -> dict[str, Any]:
    return {"keys": [{**key.to_jwk(), "kid": kid} for kid, key in named.items()]}


def create(estate: Any, base: dict[str, Any] = CI, **what: Any) -> TrustedIssuer:
    made: TrustedIssuer = estate.do(lambda tx, act: service.create(tx, act, ProposedTrustedIssuer(**{**base, **what})))
    return made


def pasted(estate: Any, name: str, **named: Any) -> TrustedIssuer:
    return create(estate, CLUSTER, name=name, keys_from="given", given_keys=jwks(**named))


def edit(estate: Any, trusted_issuer: TrustedIssuer, revision: int | None = None, **what: Any) -> TrustedIssuer:
    read = trusted_issuer.revision if revision is None else revision
    made: TrustedIssuer = estate.do(
        lambda tx, act: service.edit(tx, act, trusted_issuer.id, revision=read, changes=what)
    )
    return made


def read(estate: Any, trusted_issuer: TrustedIssuer) -> TrustedIssuer:
    found: TrustedIssuer = estate.see(lambda tx, act: service.get(tx, act, trusted_issuer.id))
    return found


def ended(estate: Any) -> list[tuple[SubjectKind, str]]:
    return [(kind, subject) for kind, subject, _ in estate.endings()]


def test_a_trusted_issuer_is_registered_and_recorded(estate: Any) -> None:
    trusted_issuer = create(estate, audience="us")
    assert read(estate, trusted_issuer) == trusted_issuer
    (event,) = estate.events("issuer.")
    assert (event.kind, event.subject) == ("issuer.created", Named(id=trusted_issuer.id, name="CI"))
    assert event.detail == {
        "slug": "ci",
        "kind": "oidc",
        "name": "CI",
        "issuer": "https://ci.example.com",
        "keys_from": "discovery",
        "keys_url": "",
        "given_keys": {},
        "ca_sha256": [],
        "audience": "us",
        "claims": {"ci:repository": "repository"},
        "cluster": None,
    }
    assert estate.endings() == []


def test_the_audit_log_names_keys_and_certificates_and_does_not_hold_them(estate: Any, peers: Any) -> None:
    pasted(estate, "Production", one=ONE)
    create(estate, ca=(pem := peers.Certificate("x").pem.decode()))
    first, second = estate.events("issuer.created")
    assert first.detail["given_keys"] == {"one": f"{ONE.thumbprint()} ES256"}
    (fingerprint,) = second.detail["ca_sha256"]
    assert len(fingerprint) == 64
    assert pem not in str(second.detail)


def test_a_slug_is_given_once(estate: Any) -> None:
    create(estate)
    with pytest.raises(Conflict) as caught:
        create(estate, issuer="https://other.example.com")
    assert caught.value.field == "slug"


def test_an_edit_is_kept_and_recorded_by_what_it_changed(estate: Any) -> None:
    trusted_issuer = create(estate)
    edited = edit(estate, trusted_issuer, name="Builds", claims={**CI["claims"], "ci:ref": "ref"})
    assert (edited.name, edited.slug, edited.revision) == ("Builds", "ci", 2)
    assert (edited.changed_at, edited.changed_by) == (estate.act.now, "local operator")
    assert read(estate, trusted_issuer) == edited
    (event,) = estate.events("issuer.edited")
    assert event.detail == {
        "revision": 2,
        "before": {"name": "CI", "claims": {"ci:repository": "repository"}},
        "after": {"name": "Builds", "claims": {"ci:ref": "ref", "ci:repository": "repository"}},
        "ended": [],
    }
    assert estate.endings() == []


def test_an_edit_that_changes_nothing_is_recorded_if_it_names_trust(estate: Any) -> None:
    trusted_issuer = create(estate)
    assert edit(estate, trusted_issuer, name="CI") == trusted_issuer
    assert estate.events("issuer.edited") == []
    assert edit(estate, trusted_issuer, name="CI", claims=CI["claims"], ca="", api_server="").revision == 2
    (event,) = estate.events("issuer.edited")
    same = {"claims": CI["claims"], "ca_sha256": [], "cluster": None}
    assert event.detail == {"revision": 2, "before": same, "after": same, "already": True, "ended": []}
    assert estate.endings() == []


NARROWER: list[dict[str, Any]] = [
    {"issuer": "https://other.example.com"},
    {"audience": "another"},
    {"keys_from": "url", "keys_url": "https://ci.example.com/keys"},
    {"claims": {"ci:ref": "ref"}},
]


@pytest.mark.parametrize("what", NARROWER, ids=lambda what: next(iter(what)))
def test_what_counts_for_less_ends_its_tokens(estate: Any, what: dict[str, Any]) -> None:
    trusted_issuer = create(estate)
    edit(estate, trusted_issuer, **what)
    assert ended(estate) == [(SubjectKind.TRUSTED_ISSUER, trusted_issuer.id)]


def test_a_given_key_that_is_taken_away_ends_its_tokens_and_one_more_does_not(estate: Any) -> None:
    trusted_issuer = pasted(estate, "Production", one=ONE)
    both = edit(estate, trusted_issuer, given_keys=jwks(one=ONE, two=TWO))
    assert ended(estate) == []
    edit(estate, both, given_keys=jwks(two=TWO))
    assert ended(estate) == [(SubjectKind.TRUSTED_ISSUER, trusted_issuer.id)]


def test_whoever_read_an_older_revision_is_told(estate: Any) -> None:
    trusted_issuer = create(estate)
    edit(estate, trusted_issuer, name="Builds")
    with pytest.raises(Outdated, match="This trusted issuer was changed meanwhile by local operator"):
        edit(estate, trusted_issuer, revision=1, name="Mine")
    assert read(estate, trusted_issuer).name == "Builds"


def test_disabling_ends_its_tokens_and_enabling_revives_none(estate: Any) -> None:
    trusted_issuer = create(estate)
    disabled = estate.do(lambda tx, act: service.disable(tx, act, "ci"))
    assert (disabled.enabled, disabled.revision) == (False, 2)
    for _ in range(2):
        enabled = estate.do(lambda tx, act: service.enable(tx, act, "ci"))
    assert (enabled.enabled, enabled.revision, read(estate, trusted_issuer)) == (True, 3, enabled)
    assert ended(estate) == [(SubjectKind.TRUSTED_ISSUER, trusted_issuer.id)]
    assert [event.kind for event in estate.events("issuer.")] == [
        "issuer.created",
        "issuer.disabled",
        "issuer.enabled",
    ]


def test_removing_ends_its_tokens_and_names_the_proofs_that_went(estate: Any) -> None:
    trusted_issuer = create(estate)
    proofs = (Named(id="p", name="Helper"),)
    estate.do(lambda tx, act: service.remove(tx, act, trusted_issuer, proofs=proofs))
    assert ended(estate) == [(SubjectKind.TRUSTED_ISSUER, trusted_issuer.id)]
    assert estate.events("issuer.deleted")[0].detail["proofs"] == [{"id": "p", "name": "Helper"}]
    with pytest.raises(NotFound, match="There is no trusted issuer 'ci'"):
        estate.see(lambda tx, act: service.get(tx, act, "ci"))


def test_clusters_may_share_an_issuer_if_each_has_keys_of_its_own(estate: Any) -> None:
    one = pasted(estate, "One", one=ONE)
    two = pasted(estate, "Two", one=TWO)
    create(estate, CLUSTER, name="Three", keys_from="url", keys_url="https://three.example.com/jwks")
    for what, why in (
        ({"keys_from": "discovery"}, "trusted issuers can share an issuer only"),
        ({"keys_from": "given", "given_keys": jwks(other=ONE)}, "a key in common"),
        ({"keys_from": "url", "keys_url": "https://three.example.com/jwks"}, "the same address"),
    ):
        with pytest.raises(Conflict, match=why) as caught:
            create(estate, CLUSTER, name="Four", **what)
        assert caught.value.field == "issuer"
    with pytest.raises(Conflict, match=r"'One' \(one\) already has the issuer https://.* have a key in common"):
        edit(estate, two, given_keys=jwks(one=ONE))
    assert edit(estate, one, name="First").name == "First"


def test_a_key_that_was_fetched_is_one_that_a_trusted_issuer_has(estate: Any) -> None:
    by_url = create(estate, CLUSTER, name="By URL", keys_from="url", keys_url="https://k8s.example.com/jwks")
    what = {"jwks": jwks(x=ONE), "fetched_at": estate.act.now, "refresh_seconds": 60}
    estate.database.append(lambda tx: store.keep_keys(tx.connection, by_url, **what))
    with pytest.raises(Conflict, match="a key in common"):
        pasted(estate, "Pasted", one=ONE)
    assert pasted(estate, "Pasted", one=TWO)


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        (lambda tx, act, its: service.disable(tx, act, its.id), True),
        (lambda tx, act, its: service.edit(tx, act, its.id, revision=1, changes={"name": "Other"}), True),
        (
            lambda tx, act, its: service.edit(tx, act, its.id, revision=1, changes={"issuer": "https://x.y"}),
            False,
        ),
    ],
    ids=["disable", "rename", "another issuer"],
)
def test_fetched_keys_stay_unless_they_would_come_from_elsewhere(
    estate: Any, change: Callable[..., TrustedIssuer], stays: bool
) -> None:
    trusted_issuer = create(estate)
    what = {"jwks": jwks(x=ONE), "fetched_at": estate.act.now, "refresh_seconds": 60}
    estate.database.append(lambda tx: store.keep_keys(tx.connection, trusted_issuer, **what))
    after = estate.do(lambda tx, act: change(tx, act, trusted_issuer))
    found = estate.database.read(lambda tx: store.find_keys(tx.connection, after))
    assert (found is not None) is stays


def test_trusted_issuers_are_listed_searched_and_looked_up(estate: Any) -> None:
    made = [create(estate, name=name, issuer=f"https://{name}.example.com") for name in ("alpha", "bravo", "charlie")]
    first, following = estate.see(lambda tx, act: service.page(tx, act, limit=2))
    assert (first, following) == (made[:2], "bravo")
    assert estate.see(lambda tx, act: service.page(tx, act, after="bravo")) == (made[2:], None)
    with pytest.raises(Invalid):
        estate.see(lambda tx, act: service.page(tx, act, after="no such"))
    for text, found in (("RAVO.ex", made[1:2]), (made[2].id[:8], made[2:]), ("nothing", [])):
        assert estate.see(lambda tx, act, text=text: service.page(tx, act, text=text)[0]) == found
    assert estate.database.read(lambda tx: service.by_ids(tx, [made[0].id, "x"])) == {made[0].id: made[0]}
    assert estate.database.read(lambda tx: service.of_kinds(tx, [*TrustedIssuerKind])) == made
    assert estate.database.read(lambda tx: service.of_kinds(tx, [TrustedIssuerKind.SPIFFE])) == []
    assert estate.database.read(lambda tx: service.find(tx, "a\0b")) is None


def test_only_an_admin_changes_whose_word_counts(estate: Any) -> None:
    trusted_issuer = create(estate)
    operator = Principal(kind=PrincipalKind.ADMIN_KEY, id="k", name="Ops", role=Role.OPERATOR)
    estate.act = replace(estate.act, principal=operator)
    changes: list[Callable[..., object]] = [
        lambda tx, act: service.create(tx, act, ProposedTrustedIssuer(**CI)),
        lambda tx, act: service.edit(tx, act, "ci", revision=1, changes={"name": "Mine"}),
        lambda tx, act: service.disable(tx, act, "ci"),
        lambda tx, act: service.enable(tx, act, "ci"),
        lambda tx, act: service.remove(tx, act, trusted_issuer),
    ]
    for change in changes:
        with pytest.raises(NotPermitted):
            estate.do(change)
    assert read(estate, trusted_issuer) == trusted_issuer
