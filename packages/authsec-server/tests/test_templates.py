"""A token that is written from a template is the token that would be decided and written anew."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from authsec.jose import signing_input
from authsec_server.attestation.model import Proved, Provenance, Validation
from authsec_server.audit import event_batches, store
from authsec_server.audit.event_batches import EventTemplate, TokenEvent
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.clients.model import ProofKind
from authsec_server.db import Database, Tx
from authsec_server.issuers.model import TrustedIssuerKind
from authsec_server.keys.model import Algorithm
from authsec_server.tokens.claims import claims, header
from authsec_server.tokens.decision import Facts, Granted, GrantedAuthority, Issuance, decide
from authsec_server.tokens.refusal import Denied
from authsec_server.tokens.templates import key_of, template_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from workload_evidence import kubernetes

from examples import examples

from .test_decision import ACTIONS, LIMITS, NOW, PROVED, authority, client, facts, proof

ISSUANCE = Issuance(issuer="https://id.example", trust_domain="example", limits=LIMITS)
JTI = "0123456789abcdef0123456789abcdef"
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


ISSUER = kubernetes().trusted_issuer
IN_CLUSTER = Proved(
    proof_id="p1",
    kind=ProofKind.SELECTORS,
    trusted_issuer_kind=TrustedIssuerKind.KUBERNETES,
    trusted_issuer_id=ISSUER.id,
    trusted_issuer_revision=ISSUER.revision,
    selectors=("k8s:ns", "k8s:sa"),
    proved_by={"k8s:ns": Provenance.TOKEN, "k8s:sa": Provenance.LOOKUP},
    validation=Validation.TOKEN_REVIEW,
)
HOW = [IN_CLUSTER, *(Proved(proof_id="p1", kind=each) for each in ProofKind if each is not ProofKind.SELECTORS)]
CRM, ERP = "https://crm.example", "https://erp.example"
SOME = st.lists(st.sampled_from(ACTIONS), unique=True, min_size=1).map(lambda them: tuple(sorted(them)))
ASKED = st.none() | st.sampled_from([(each,) for each in ACTIONS])
HELD = st.lists(
    st.builds(
        lambda number, allowed, audiences, duration, ends, enabled: authority(
            f"d{number}",
            role=tuple(ACTIONS),
            actions=allowed,
            audiences=audiences,
            max_duration=duration,
            ends_at=None if ends is None else NOW + timedelta(seconds=ends),
            enabled=enabled,
        ),
        st.integers(0, 9),
        SOME,
        st.sampled_from([(CRM, ERP), (CRM, ERP), ()]),
        st.integers(60, 4000),
        st.none() | st.floats(60, 9000),
        st.sampled_from([True, True, True, False]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda it: it.delegation.id,
)


def granted(
    its: Facts,
    actions: tuple[str, ...] | None,
    now: datetime,
    proved: Proved = PROVED,
    resources: tuple[str, ...] = (),
) -> Granted | Denied:
    return decide(its, proved, actions, resources, LIMITS, now)


@settings(max_examples=examples(1000))
@given(
    HELD,
    ASKED,
    st.none() | st.integers(10, 9000),
    st.floats(0, 3000),
    st.floats(-50, 3000),
    NAMES,
    st.sampled_from(Algorithm),
    st.sampled_from(HOW),
    st.sampled_from([(), ("crm",), (ERP, "crm")]),
    st.integers(1, 2**53 - 1),
)
def test_while_it_is_valid_it_says_what_is_decided_then(
    held: list[GrantedAuthority],
    actions: tuple[str, ...] | None,
    expires: int | None,
    made_after: float,
    used_later: float,
    name: str,
    algorithm: Algorithm,
    proved: Proved,
    resources: tuple[str, ...],
    version: int,
) -> None:
    """Whichever ends the delegations and the proof have, whatever proves the client, and whenever it is used.

    Other changes may have been made meanwhile.
    """
    expires_at = None if expires is None else NOW + timedelta(seconds=expires)
    named = [replace(each, role=replace(each.role, name=name)) for each in held]
    of_client = proof(kind=proved.kind, trusted_issuer_id=proved.trusted_issuer_id, expires_at=expires_at)
    its = replace(
        facts(*named, client=client(name=name, proofs=(of_client,))),
        audiences={"crm": CRM},
        algorithms={}
        if algorithm is Algorithm.RS256
        else dict.fromkeys((LIMITS.default_audience, CRM, ERP), algorithm),
        trusted_issuers={ISSUER.id: ISSUER},
    )
    made = NOW + timedelta(seconds=made_after)
    used = made + timedelta(seconds=used_later)
    outcome = granted(its, actions, made, proved, resources)
    if isinstance(outcome, Denied):
        return
    template = template_of(its, outcome, ISSUANCE, made)
    if not template.is_valid(used):
        assert expires is not None or any(each.delegation.ends_at for each in held)
        return
    later = replace(its, version=version)
    assert later == its
    again = granted(later, actions, used, proved, resources)
    assert isinstance(again, Granted)
    expected = claims(again, issuer=ISSUANCE.issuer, trust_domain=ISSUANCE.trust_domain, jti=JTI, now=used)
    assert template.algorithm is again.algorithm is algorithm
    assert template.signing_input("kid", int(used.timestamp()), JTI, version) == signing_input(
        header("kid", algorithm), expected
    )
    assert template.lifetime == again.lifetime
    assert template.event == template_of(its, again, ISSUANCE, used).event
    assert json.loads(template.answer("a.b.c", int(used.timestamp()))) == {
        "token": "a.b.c",
        "token_type": "Bearer",
        "status": "active",
        "issued_at": instant(expected["iat"]),
        "expires_at": instant(expected["exp"]),
        "expires_in": again.lifetime,
        "client_id": its.client.id if its.client else "",
        "spiffe_id": expected["sub"],
        "permissions": [*again.actions],
        "scope": " ".join(again.actions),
        "audience": [*again.audience],
    }


def instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_delegation_that_ends_soon_is_decided_on_each_time() -> None:
    its = facts(authority(ends_at=NOW + timedelta(seconds=3700)))
    outcome = granted(its, None, NOW)
    assert isinstance(outcome, Granted)
    template = template_of(its, outcome, ISSUANCE, NOW)
    assert [template.is_valid(NOW + timedelta(seconds=seconds)) for seconds in (-1, 0, 100, 101)] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"proof_id": "p2"},
        {"kind": ProofKind.SECRET},
        {"trusted_issuer_kind": TrustedIssuerKind.KUBERNETES},
        {"trusted_issuer_id": "i1"},
        {"trusted_issuer_revision": 2},
        {"selectors": ("namespace",)},
        {"proved_by": {"namespace": Provenance.TOKEN}},
        {"validation": Validation.OFFLINE},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_proof_has_another_template(other: dict[str, object]) -> None:
    assert key_of(replace(PROVED, **other), None) != key_of(PROVED, None)  # type: ignore[arg-type] # one field of each
    assert key_of(PROVED, ("customers:read",)) != key_of(PROVED, None)


def test_what_is_used_up_does_not_make_another_template() -> None:
    fields = set(Proved.__dataclass_fields__) - {"single_use"}
    assert len(key_of(PROVED, None)) == len(fields) + 1


def test_the_row_is_that_of_any_other_event(database: Database) -> None:
    said = {"actions": ["a:b"], "audience": ["x"], "attestation": 'é"\\', "proof_id": "p-1"}
    event = Event(
        at=NOW + timedelta(microseconds=7),
        kind=EventKind.TOKEN_ISSUED,
        request_id="req_000000000000000000000001",
        client=Named(id="c1", name='Ann"s é'),
        delegations=(Named(id="d2", name="D"), Named(id="d1", name="E")),
        roles=(Named(id="r1", name="R"),),
        decision=Decision.GRANTED,
        address="192.0.2.1",
        authority_version=7,
        jti=JTI,
        kid="kid",
        token_sha256="0" * 64,
        expires_at=NOW,
        detail=said,
    )
    written = TokenEvent(
        template=EventTemplate.of(event),
        at=event.at,
        request_id="req_000000000000000000000001",
        address="192.0.2.1",
        jti=JTI,
        kid="kid",
        token_sha256="0" * 64,
        expires_at=NOW,
        authority_version=7,
    )

    def write(tx: Tx) -> None:
        store.add(tx.connection, event, tx.event_key)
        event_batches.add_all(tx.connection, [written, written], tx.event_key)
        store.add(tx.connection, event, tx.event_key)

    database.append(write)
    rows = database.read(lambda tx: tx.connection.execute(select(store.events).order_by(store.events.c.id)).all())
    numbers = [row.id for row in rows]
    assert numbers == [*range(numbers[0], numbers[0] + 4)]
    assert len({json.dumps([str(value) for value in row[1:]]) for row in rows}) == 1
    links = database.read(lambda tx: tx.connection.execute(select(store.event_delegations)).all())
    assert sorted(tuple(link) for link in links) == sorted((id_, number) for id_ in ("d1", "d2") for number in numbers)


def test_a_header_is_that_of_its_key() -> None:
    outcome = granted(facts(authority()), None, NOW)
    assert isinstance(outcome, Granted)
    template = template_of(facts(authority()), outcome, ISSUANCE, NOW)
    for kid in ("one", "two"):
        first = template.signing_input(kid, 0, JTI, 1).partition(b".")[0]
        assert json.loads(base64.urlsafe_b64decode(first + b"=="))["kid"] == kid
