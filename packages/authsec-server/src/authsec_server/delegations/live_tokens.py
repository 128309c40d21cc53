"""The unexpired tokens that a change would end.

The module counts the tokens that are still valid. It also finds the APIs that accept these tokens, and whether
these APIs follow revocations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from authsec_server.apis import service as apis
from authsec_server.audit import live_tokens
from authsec_server.audit.live_tokens import TokenGroup, TokenGroups
from authsec_server.audit.model import Named
from authsec_server.clients import service as clients
from authsec_server.db import Tx
from authsec_server.delegations import store
from authsec_server.delegations.store import NO_AUDIENCE
from authsec_server.revocations import service as revocations
from authsec_server.revocations import subscribers as followers
from authsec_server.revocations.model import Subject, SubjectKind, subjects_of_token
from authsec_server.revocations.subscribers import Following
from authsec_server.roles import service as roles


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensAtApi:
    """One audience of the tokens, and whether the API with this audience is known to follow revocations.

    `until` is the time at which the last unexpired token for this audience expires. An API that does not follow
    revocations accepts the token until then. `slug` is empty if no API is registered for the audience.
    """

    audience: str
    name: str
    slug: str = ""
    following: Following = Following.NO
    seen_at: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTokens:
    """A summary of unexpired tokens.

    `live` is the number of tokens that are not revoked. `last_expiry` is the time at which the last token
    expires, even if the token is revoked.
    """

    live: int = 0
    last_expiry: datetime | None = None
    by_audience: Mapping[str, datetime]
    agents: tuple[Named, ...] = ()
    more: bool = False


def of_clients(
    tx: Tx, now: datetime, client_ids: Collection[str], is_affected: Callable[[TokenGroup], bool]
) -> LiveTokens:
    """Summarise the unexpired tokens of these clients, but only tokens for which `is_affected` returns true."""
    found = live_tokens.of_clients(
        tx, now, client_ids, is_revoked=revocations.is_revoked, still_valid=lambda some: _now_valid(tx, some)
    )
    return _counted(tx, found, is_affected)


def of_key(tx: Tx, now: datetime, kid: str) -> LiveTokens:
    """Return a summary of the unexpired tokens that this key signed."""
    found = live_tokens.of_key(
        tx, now, kid, is_revoked=revocations.is_revoked, still_valid=lambda some: _now_valid(tx, some)
    )
    return _counted(tx, found, lambda _: True)


def of_this_change(
    tx: Tx, now: datetime, ended: Collection[Subject], client_ids: Collection[str], slugs: Mapping[str, str]
) -> LiveTokens:
    """Return a summary of the tokens that this change ends.

    The tokens belong to these clients, or are signed by a key that the change ends. `live` counts the tokens
    that were valid before the change. `slugs` maps the ids of deleted roles to their slugs.
    """
    kids = [id_ for kind, id_ in ended if kind is SubjectKind.KEY]
    is_revoked = revocations.is_revoked

    def were_valid(some: Collection[TokenGroup]) -> Collection[TokenGroup]:
        return _still_valid(tx, _subjects(tx, some, slugs), below=tx.version)

    found = [live_tokens.of_clients(tx, now, client_ids, is_revoked=is_revoked, still_valid=were_valid)]
    found += [live_tokens.of_key(tx, now, kid, is_revoked=is_revoked, still_valid=were_valid) for kid in kids]
    every = dict.fromkeys(each for part in found for each in part.tokens)
    its = _subjects(tx, every, slugs)
    ending = {each: rested for each, rested in its.items() if not rested.isdisjoint(ended)}
    return _summed(tx, ending, _still_valid(tx, ending, below=tx.version), more=any(part.more for part in found))


def audiences(tx: Tx, default_audience: str) -> set[str]:
    """Return all audiences that tokens can have.

    These are the audiences of registered APIs, the audiences that delegations name, and the default audience.
    """
    return (store.audiences(tx.connection) - {NO_AUDIENCE}) | apis.identifiers(tx) | {default_audience}


def at_apis(
    tx: Tx, now: datetime, audiences: Collection[str], until: Mapping[str, datetime]
) -> tuple[TokensAtApi, ...]:
    """Return for each audience whether its API follows revocations.

    First come the APIs that are not known to follow revocations.
    """
    known, seen = apis.by_identifiers(tx, audiences), followers.seen(tx, audiences)
    found = []
    for audience in audiences:
        api, its = known.get(audience), seen.get(audience)
        found.append(
            TokensAtApi(
                audience=audience,
                name=api.name if api else audience,
                slug=api.slug if api else "",
                following=its.at(now) if its else Following.NO,
                seen_at=its.seen_at if its else None,
                until=until.get(audience),
            )
        )
    order = [Following.NO, Following.SAID, Following.PROVED]
    return tuple(sorted(found, key=lambda each: (order.index(each.following), each.audience)))


def _counted(tx: Tx, found: TokenGroups, is_affected: Callable[[TokenGroup], bool]) -> LiveTokens:
    tokens = _subjects(tx, [each for each in found.tokens if is_affected(each)])
    return _summed(tx, tokens, _still_valid(tx, tokens), more=found.more)


def _now_valid(tx: Tx, some: Collection[TokenGroup]) -> Collection[TokenGroup]:
    return _still_valid(tx, _subjects(tx, some))


def _summed(tx: Tx, tokens: Collection[TokenGroup], still: Collection[TokenGroup], *, more: bool) -> LiveTokens:
    """Summarise these tokens. `still` are those of them that are valid.

    The attack: raw SQL inserts the event of a token that names the agent otherwise. So the name is that of the row.
    """
    by_audience: dict[str, datetime] = {}
    for each in tokens:
        for audience in each.audience:
            by_audience[audience] = max(each.until, by_audience.get(audience, each.until))
    names = {each.client_id: each.client_name for each in still}
    names |= clients.names(tx, names)  # a deleted agent has only the name in its events
    agents = [Named(id=id_, name=name) for id_, name in names.items()]
    return LiveTokens(
        live=sum(each.count for each in still),
        last_expiry=max((each.until for each in tokens), default=None),
        by_audience=by_audience,
        agents=tuple(sorted(agents, key=lambda agent: (agent.name, agent.id))),
        more=more,
    )


def _subjects(
    tx: Tx, tokens: Collection[TokenGroup], slugs: Mapping[str, str] = MappingProxyType({})
) -> dict[TokenGroup, frozenset[Subject]]:
    """Return the subjects that each token depends on: its client, delegations, roles, proof, issuer and key.

    `slugs` has the slugs of deleted roles, by id.
    """
    known = roles.by_ids(tx, {id_ for each in tokens for id_ in each.role_ids})
    slugs = {**slugs, **{id_: role.slug for id_, role in known.items()}}
    return {
        each: subjects_of_token(
            client=each.client_id,
            delegations=each.delegation_ids,
            roles=[slugs.get(id_, "") for id_ in each.role_ids],
            proof=each.proof_id,
            trusted_issuer=each.trusted_issuer_id,
            kid=each.kid,
        )
        for each in tokens
    }


def _still_valid(
    tx: Tx, tokens: Mapping[TokenGroup, frozenset[Subject]], *, below: int | None = None
) -> list[TokenGroup]:
    """Return the tokens that are still valid: no subject that such a token depends on has ended.

    A verifier that follows revocations refuses the other tokens. `below` is an authority version: revocations
    of this version and later ones are ignored.
    """
    ended = revocations.last_versions(tx, frozenset().union(*tokens.values()), below=below)
    return [
        each
        for each, its in tokens.items()
        if not each.revoked and each.version >= max((ended.get(subject, 0) for subject in its), default=0)
    ]
