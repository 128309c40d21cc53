"""A revocation changed a row, and the tokens that had been issued lived on; or what was remembered went on letting in.

Whatever attestation rests on can be ended: the client, its proof, the trusted issuer, or what that trusted issuer may
say. Each ends the tokens that rest on it, by a revocation above the version that they were decided under, and the very
evidence that was good a moment ago is judged anew. Allowing it again revives none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attesting import SHOWN
from authsec.jose import parse_compact
from authsec_server.audit.model import EventKind
from authsec_server.clients import bindings, held_proofs, service
from authsec_server.db import Tx
from authsec_server.issuers import service as issuers
from authsec_server.principal import Act
from authsec_server.revocations import service as revocations
from databases import settings_for
from ready_keys import STRANGERS as OTHER
from trusted_issuers import agent, operator, shows, trust
from workload_evidence import Issuer, github

pytestmark = pytest.mark.sqlite_suffices

Change = Callable[[Tx, Act, str, Issuer], object]


def edit(tx: Tx, act: Act, issuer: Issuer, **changes: Any) -> object:
    trusted_issuer = issuers.get(tx, act, issuer.trusted_issuer.id)
    return issuers.edit(tx, act, trusted_issuer.id, revision=trusted_issuer.revision, changes=changes)


def take_away(tx: Tx, act: Act, client_id: str, _: Issuer) -> object:
    (proof,) = service.get(tx, act, client_id).proofs
    return held_proofs.remove_proof(tx, act, client_id, proof.id)


def made(tx: Tx, *, change: Change, by: Act, of: str, issuer: Issuer) -> object:
    return change(tx, by, of, issuer)


ENDS: dict[str, Change] = {
    "the client is disabled": lambda tx, act, client_id, _: service.disable(tx, act, client_id),
    "its proof is taken away": take_away,
    "the trusted issuer is disabled": lambda tx, act, _, issuer: bindings.disable_trusted_issuer(
        tx, act, issuer.trusted_issuer.id
    ),
    "the trusted issuer is removed": lambda tx, act, _, issuer: bindings.remove_trusted_issuer(
        tx, act, issuer.trusted_issuer.id, with_proofs=True
    ),
    "its tokens must be for another": lambda tx, act, _, issuer: edit(tx, act, issuer, audience="elsewhere"),
    "it may say less": lambda tx, act, _, issuer: edit(tx, act, issuer, claims={"github:ref": "ref"}),
    "its keys are others": lambda tx, act, _, issuer: edit(tx, act, issuer, given_keys=github(key=OTHER).jwks),
}


@pytest.fixture
def its(house: Any, database_url: str, tmp_path: Path) -> Any:
    return house(**settings_for(database_url, tmp_path))


def test_each_ends_the_tokens_and_judges_the_evidence_anew(its: Any) -> None:
    for number, (name, change) in enumerate(ENDS.items()):
        issuer = github(f"ci-{number}", issuer=f"https://ci-{number}.example", key=OTHER.generate_rsa())
        trust(its, issuer)
        client_id = agent(its, issuer, *SHOWN[issuer.trusted_issuer.kind], name=f"Agent {number}")
        evidence = issuer.token()
        token = parse_compact(shows(its, client_id, evidence).json()["token"])
        issued = next(each.event for each in its.events()[::-1] if each.event.kind is EventKind.TOKEN_ISSUED)
        subjects_of_token = {client_id, issued.detail["proof_id"], issued.detail["trusted_issuer"]["id"]}

        its.authority.database.change(partial(made, change=change, by=operator(its), of=client_id, issuer=issuer))

        assert shows(its, client_id, evidence).status_code in {401, 403}, name
        feed = its.authority.database.read(lambda tx: revocations.since(tx, 0))
        ended = [each for each in feed if each.subject_id in subjects_of_token]
        assert ended, name
        assert all(token.claims["authority_version"] < each.version for each in ended), name


def test_allowing_it_again_revives_none(its: Any) -> None:
    issuer = github()
    trust(its, issuer)
    client_id = agent(its, issuer, *SHOWN[issuer.trusted_issuer.kind])
    before = parse_compact(shows(its, client_id, issuer.token()).json()["token"])
    for change in (bindings.disable_trusted_issuer, bindings.enable_trusted_issuer):
        its.authority.database.change(lambda tx, change=change: change(tx, operator(its), issuer.trusted_issuer.id))
    after = parse_compact(shows(its, client_id, issuer.token()).json()["token"])
    (ended,) = its.authority.database.read(lambda tx: revocations.since(tx, 0))
    assert before.claims["authority_version"] < ended.version <= after.claims["authority_version"]
