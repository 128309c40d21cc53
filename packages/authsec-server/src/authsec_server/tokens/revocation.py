"""Revoke a single token by its `jti`, for an operator or the token's holder (RFC 7009). No URL contains a token.

Find the times at which tokens were revoked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from authsec.verifier.checks import HIGHEST_LEEWAY
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Recorded, repeat_detail
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, Invalid, NotFound
from authsec_server.principal import Act, Role
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import Revocation, Subject, SubjectKind, subjects_of_token
from authsec_server.roles import service as roles
from authsec_server.tokens.own_tokens import OwnTokens, read_pasted
from authsec_server.web.bodies import Body, Places
from authsec_server.web.instants import rfc3339
from authsec_server.web.oauth import oauth, read_parameters
from authsec_server.web.operations import API, AnyOperation, Call, declared, operation, resource
from authsec_server.web.request_context import context_of, limit_key
from authsec_server.web.throttle import WHOLE, Share, Throttle


def revoked(tx: Tx, recorded: Iterable[Recorded]) -> dict[int, datetime]:
    """Return the time of revocation of each revoked token, by the number of the event that issued the token.

    A token is also revoked when all tokens of one of its subjects are revoked, for example of its client. After the
    token's expiry, only a revocation of the token itself counts. Clocks can differ, so an API may still have accepted
    the token.
    """
    issued = [each for each in recorded if each.event.kind is EventKind.TOKEN_ISSUED]
    slugs = _slugs(tx, issued)
    subjects = {it.id: _subjects(it.event, slugs) for it in issued}
    oldest = _oldest_version(issued)
    found = revocations.after(tx, frozenset().union(*subjects.values()), oldest) if issued else []
    ended: dict[int, datetime] = {}
    for it in issued:
        matching = (each for each in found if each.subject in subjects[it.id] and _ends(each, it.event))
        if first := next(matching, None):
            ended[it.id] = first.at
    return ended


def _oldest_version(issued: Collection[Recorded]) -> int:
    return min((it.event.version for it in issued), default=0)


def _slugs(tx: Tx, issued: Collection[Recorded]) -> dict[str, str]:
    """Return the slugs of the roles of these tokens, by the ids of the roles.

    The slug of a deleted role is in the event of its deletion, which has the time and the version of a revocation.
    Old deletions are not found, because servers delete old revocations.
    """
    ids = {role.id for it in issued for role in it.event.roles}
    slugs = {id_: role.slug for id_, role in roles.by_ids(tx, ids).items()}
    if ids <= slugs.keys():
        return slugs
    for some in revocations.of_roles(tx, _oldest_version(issued)):
        for id_, slug in _slugs_of_deleted(tx, some):
            if id_ in ids:
                slugs.setdefault(id_, slug)
                if ids <= slugs.keys():
                    return slugs
    return slugs


def _slugs_of_deleted(tx: Tx, entries: Sequence[Revocation]) -> Iterator[tuple[str, str]]:
    """Yield the ids and slugs of deleted roles. `entries` are revocations of roles."""
    ended = {(each.version, each.subject_id): each.at for each in entries}
    for it in audit.deleted_roles(tx, ended.values()):
        slug = it.event.detail.get("slug")
        if isinstance(slug, str) and (it.event.version, slug) in ended:
            yield from ((role.id, slug) for role in it.event.roles)


def _ends(revocation: Revocation, issued: Event) -> bool:
    if revocation.version <= issued.version:
        return False
    in_time = issued.expires_at is None or revocation.at < issued.expires_at
    return in_time or revocation.subject_kind is SubjectKind.TOKEN


def _subjects(event: Event, slugs: dict[str, str]) -> frozenset[Subject]:
    trusted_issuer = event.detail.get("trusted_issuer")
    return subjects_of_token(
        client=event.client.id if event.client else "",
        delegations=[each.id for each in event.delegations],
        roles=[slugs.get(each.id, "") for each in event.roles],
        proof=event.detail.get("proof_id") or "",
        trusted_issuer=(trusted_issuer.get("id") or "") if isinstance(trusted_issuer, dict) else "",
        kid=event.kid,
        jti=event.jti,
    )


LEEWAY = timedelta(seconds=HIGHEST_LEEWAY)  # an API may accept an expired token this long, because clocks differ


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedToken:
    """A revoked token: the event that issued it, and the time of its revocation.

    `already` is true if the token was revoked before this request.
    """

    issued: Event
    at: datetime
    already: bool


def token(tx: Tx, act: Act, jti: str) -> Recorded:
    """Return the event that issued this token, if an API may still accept the token.

    Raises `NotFound`. Raises `Conflict` if the token has expired.
    """
    act.principal.require(Role.VIEWER)
    if live := _live(tx, jti, act.now):
        return live
    found = audit.token_issued(tx, jti)
    if found is None:
        raise NotFound(
            "The audit log has no token with this jti. Nothing was revoked.",  # not what was typed: it may be a secret
            "The jti is a claim of the token; `authsec audit list` shows it for each issued token.",
        )
    raise Conflict(
        f"This token expired at {rfc3339(found.event.expires_at)}, so there was nothing to revoke.",
        "To keep its agent from getting new tokens, disable the agent or revoke its trust delegation.",
    )


def _live(tx: Tx, jti: str, now: datetime) -> Recorded | None:
    """Return an event which says that this token was issued and that an API may still accept it; None without one.

    The attack: raw SQL inserts an event which says that the token has expired, and a server seals it before the genuine
    one. Then nobody could revoke the token.
    """
    return audit.token_issued(tx, jti, expires_after=now - LEEWAY)


def revoke(tx: Tx, act: Act, jti: str, *, because: str = "") -> RevokedToken:
    """Revoke the token, with an optional reason, and record that, even if the feed has the token already.

    The attack: raw SQL adds the entry of the feed until an operator has revoked the token, and deletes the entry again.
    Without an event, nobody would find that the token is valid. Call only inside a `change`.

    Raises `NotFound`, `Conflict` or `Invalid`.
    """
    act.principal.require(Role.OPERATOR)
    because = naming.text("reason", because)
    found = token(tx, act, jti)
    ended_at = revoked(tx, [found]).get(found.id)
    revocations.end(tx, SubjectKind.TOKEN, jti, act.now)
    audit.record_act(tx, act, EventKind.TOKEN_REVOKED, **_about(found.event, because, is_repeat=ended_at is not None))
    return RevokedToken(issued=found.event, at=ended_at or act.now, already=ended_at is not None)


def find_own(tx: Tx, jti: str, now: datetime) -> Recorded | None:
    """Return the event that issued this token, if its holder may revoke the token. Otherwise return None.

    The token must not be expired, with an allowance for clocks that differ. A token that seems revoked is revoked
    again, for the reason that `revoke` names. The function does not check the role of a principal.
    """
    return _live(tx, jti, now)


def revoke_own(tx: Tx, jti: str, now: datetime, *, request_id: str, address: str) -> None:
    """Revoke the token for its holder, if `find_own` finds the token. Call only inside a `change`."""
    found = find_own(tx, jti, now)
    if found is None:
        return
    is_repeat = bool(revoked(tx, [found]))
    revocations.end(tx, SubjectKind.TOKEN, jti, now)
    event = Event(
        at=now,
        kind=EventKind.TOKEN_REVOKED,
        request_id=request_id,
        address=address,
        **_about(found.event, "", is_repeat=is_repeat),
    )
    audit.record(tx, event)


def _about(issued: Event, because: str, *, is_repeat: bool = False) -> dict[str, Any]:
    """Return the fields about the token for the event of its revocation.

    The token's expiry goes into `detail`. The field `expires_at` stays empty, because issued tokens are counted
    by `expires_at`.
    """
    detail = {
        "expires_at": rfc3339(issued.expires_at),
        **({"because": because} if because else {}),
        **repeat_detail(is_repeat=is_repeat),
    }
    return {
        "client": issued.client,
        "delegations": issued.delegations,
        "roles": issued.roles,
        "jti": issued.jti,
        "kid": issued.kid,
        "detail": detail,
    }


OF_A_CLIENT, SECONDS = 30, 3600  # each revocation is an entry of the feed for a week, and every API reads it
MOST_REMEMBERED = 10_000  # tokens that this process has revoked for their holders


class SelfRevocation:
    """Revokes tokens for their holders. A call blocks its thread.

    The token is the only credential required. An agent that shuts down, or a scanner that finds a token in a
    log, has no other credential. This is safe: with the token, a holder can do more harm than revoke it.
    """

    def __init__(
        self,
        database: Database,
        *,
        tokens: OwnTokens,
        address_limit: int,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        share: Share = WHOLE,
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._now = now
        self._of_address = Throttle(
            share.of(address_limit), "Too many tokens were revoked from this address.", monotonic=monotonic
        )
        self._revoked: OrderedDict[str, None] = OrderedDict()
        self._remembering = Lock()
        of_a_client = share.of(OF_A_CLIENT)
        self._of_client = Throttle(
            of_a_client,
            f"This token was not revoked: the limit is {of_a_client} tokens of an agent within an hour. An "
            "administrator can revoke all tokens of the agent (authsec agents revoke-tokens), or this one (authsec "
            "revoke).",
            seconds=SECONDS,
            monotonic=monotonic,
        )

    def revoke_own(self, token: str, *, request_id: str, address: str) -> None:
        """Revoke the token if it is valid and from this authority. Ignore any other token (RFC 7009 section 2.2).

        A token that has expired, or that this process has revoked before, takes no lock and leaves no event. So an
        attacker who repeats a request cannot block agents, or fill the audit log. The database does not decide what was
        revoked before: raw SQL can insert a revocation and its event for a moment. Each client has an hourly limit,
        because each revoked token makes the revocation feed longer for all APIs. Raises `TooOften` or `Unavailable`.
        """
        self._of_address.charge(limit_key(address))
        jws = self._tokens.read(token)
        if jws is None:
            return
        jti = str(jws.claims["jti"])
        if jti in self._revoked:
            return
        if found := self._database.read(lambda tx: find_own(tx, jti, self._now())):
            self._of_client.charge(found.event.client.id if found.event.client else "")
            self._database.change(lambda tx: revoke_own(tx, jti, self._now(), request_id=request_id, address=address))
            self._remember(jti)

    def _remember(self, jti: str) -> None:
        with self._remembering:
            self._revoked[jti] = None
            while len(self._revoked) > MOST_REMEMBERED:
                self._revoked.popitem(last=False)


REVOKE = "/authsec/v1/revoke"
PATH = f"{API}/tokens/revoke"
AT_ONCE, OF_ONE_NETWORK = 64, 8  # concurrent requests while their forms are read: a stranger may send a form slowly
_PRIVATE = {"Cache-Control": "no-store"}


class Ending(Body):
    """Request to revoke a token. The request has the token's `jti`, or the token itself.

    The audit log records `reason`.
    """

    jti: str | None = None
    token: str | None = Field(None, repr=False)
    reason: str = ""


class HolderShown(TypedDict):
    """The client that has the token."""

    id: str
    name: str


class EndedShown(TypedDict):
    """A revoked token as the admin API shows it.

    `already` is true if the token was revoked before this request.
    """

    jti: str
    client: HolderShown | None
    expires_at: str | None
    ended_at: str
    already: bool


def routes(self_revocation: SelfRevocation) -> list[Route]:
    """Return the endpoint for holders of a token."""
    places = Places(at_once=AT_ONCE, of_one=OF_ONE_NETWORK)

    async def revoke_of_holder(request: Request) -> Response:
        context = context_of(request.scope)
        with places.one(limit_key(context.address)):
            # `token_type_hint` is ignored. A token that was read from a file may end with a line break.
            token = (await read_parameters(request)).get("token", "").strip()
        if not token:
            raise Invalid("token", "The parameter token is missing.", "Send the token in the form: token=…")
        about = {"request_id": context.request_id, "address": context.address}
        await run_in_threadpool(lambda: self_revocation.revoke_own(token, **about))
        return Response(status_code=200, headers=_PRIVATE)

    return [resource(REVOKE, post=oauth(revoke_of_holder))]


def operations(tokens: OwnTokens) -> list[AnyOperation]:
    """Return the operation for operators."""

    @operation("POST", PATH, "revokeToken")
    async def revoke_token(call: Call[Ending]) -> EndedShown:
        """Revoke one token, by its `jti` or by the token itself."""
        jti = await run_in_threadpool(_jti, call.body, tokens)
        return as_json(await call.change(lambda tx, act: revoke(tx, act, jti, because=call.body.reason)))

    return declared(revoke_token)


def as_json(ended: RevokedToken) -> EndedShown:
    """Return the revoked token as the admin API shows it."""
    issued = ended.issued
    return {
        "jti": issued.jti,
        "client": {"id": issued.client.id, "name": issued.client.name} if issued.client else None,
        "expires_at": rfc3339(issued.expires_at),
        "ended_at": rfc3339(ended.at),
        "already": ended.already,
    }


def _jti(asked: Ending, tokens: OwnTokens) -> str:
    """Return the `jti` of the token to revoke. Raises `Invalid`.

    The `jti` of a pasted token is used only if this authority signed the token.
    """
    if (asked.jti is None) == (asked.token is None):
        raise Invalid("jti", "Give the jti of the token, or the token itself.", "Give only one of the two.")
    if asked.jti is not None:
        return asked.jti.strip()
    jws = tokens.read(read_pasted(asked.token or ""))
    if jws is None:
        raise Invalid(
            "token",
            "This token is not from this authority, or it is damaged. Nothing was revoked.",
            "Paste the complete delegation token, or give its jti.",
        )
    return str(jws.claims["jti"])
