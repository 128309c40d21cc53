"""Load the facts for the decision on a token request, and cache the facts of recent requests.

Cached facts have an authority version and the random id of the change that made this version. The transaction that
records the token compares both with the database, under the authority lock. If they differ, the facts are read again,
unless each change since then is known and concerned other clients (`db/recent_changes.py`). Before this comparison,
cached facts are never the reason for a refusal: the facts are read again first. A change by raw SQL does not change
the version, so facts are also read again after `MOST_SECONDS`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, TypeVar

from authsec_server.apis import service as apis
from authsec_server.audit.event_shape import is_id
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.db import AuthorityState, Tx
from authsec_server.delegations import service as delegations
from authsec_server.issuers import service as issuers
from authsec_server.roles.model import RoleDefinition
from authsec_server.tokens.decision import Facts, GrantedAuthority
from authsec_server.tokens.request import TokenRequest
from authsec_server.tokens.templates import Template, TemplateKey

V = TypeVar("V")
MOST: Final = 1_000_000  # actions and audiences, of some 80 bytes each
MOST_RESOURCES: Final = 4  # combinations of resources for which the facts of one client are cached
MOST_SECONDS: Final = 600.0  # facts are cached this long: reading them for each token would double its cost
MOST_WAITING: Final = 2_000  # weight of the facts of one request that waits without a thread; hundreds may wait
FIXED_WEIGHT: Final = 50  # weight of the other facts of a client: some 4 kB
_NOTHING: Final[Mapping[str, Any]] = {}


def load_facts(tx: Tx, request: TokenRequest, default_audience: str) -> Facts:
    """Load the data for the decision on this request, in this transaction."""
    (facts,) = load_all_facts(tx, [request], default_audience)
    return facts


def load_all_facts(tx: Tx, requests: Sequence[TokenRequest], default_audience: str) -> list[Facts]:
    """Load the data for the decisions on these requests, in their order.

    The number of SQL statements does not depend on the number of requests. Rows that no event can name are left out
    (`audit.event_shape.is_id`).
    """
    known = clients.by_ids(tx, {each.client_id for each in requests})
    known = {id_: _with_ids(client) for id_, client in known.items() if is_id(id_)}
    held = delegations.of_clients(tx, known)
    resolved = apis.resolve_all(tx, {resource for each in requests for resource in each.resources})
    audiences = [
        {default_audience, *each.resources, *_of(each.resources, resolved).values()}.union(
            *(delegation.audiences for delegation, _ in held.get(each.client_id, ()))
        )
        for each in requests
    ]
    algorithms = apis.algorithms(tx, set[str]().union(*audiences))
    issuers_of = {id_: client.trusted_issuer_ids for id_, client in known.items()}
    named = set(filter(is_id, set[str]().union(*issuers_of.values())))
    trusted = issuers.by_ids(tx, named) if named else {}
    return [
        Facts(
            version=tx.version,
            change_id=tx.change_id,
            client=known.get(each.client_id),
            authorities=tuple(
                GrantedAuthority(delegation=delegation, role=_shared(role))
                for delegation, role in held.get(each.client_id, ())
                if is_id(delegation.id) and is_id(role.id)
            ),
            audiences=_of(each.resources, resolved),
            algorithms=_of(its, algorithms),
            trusted_issuers=_of(issuers_of.get(each.client_id, ()), trusted),
        )
        for each, its in zip(requests, audiences, strict=True)
    ]


def _with_ids(client: Client) -> Client:
    """Return the client, without the proofs that have an id of another form."""
    proofs = tuple(proof for proof in client.proofs if is_id(proof.id))
    return client if len(proofs) == len(client.proofs) else replace(client, proofs=proofs)


@lru_cache(maxsize=1000)
def _shared(role: RoleDefinition) -> RoleDefinition:
    """Return the first of equal roles. Thousands of clients have one role, and their facts are kept."""
    return role


def _of(names: Iterable[str], all_: Mapping[str, V]) -> Mapping[str, V]:
    return {name: all_[name] for name in names if name in all_} or _NOTHING  # most facts have three empty mappings


@dataclass(slots=True)
class KeptFacts:
    """Cached facts, and the templates of the tokens that were granted with these facts.

    `read_at` is a time before the facts were read, in seconds of the monotonic clock.
    """

    facts: Facts
    read_at: float
    templates: dict[TemplateKey, Template] = field(default_factory=dict)

    @property
    def state(self) -> AuthorityState:
        """The authority version of the facts, with the id of its change."""
        return AuthorityState(self.facts.version, self.facts.change_id)

    def at(self, tx: Tx) -> KeptFacts:
        """Return these facts with the version of this transaction. No change since then concerned the client."""
        facts = replace(self.facts, version=tx.version, change_id=tx.change_id)
        return KeptFacts(facts, self.read_at, self.templates)

    def are_of(self, tx: Tx) -> bool:
        """Whether this transaction sees the same authority version and change as the facts."""
        return self.state == tx.state


class RecentFacts:
    """A cache of the facts of recent requests that were granted. A full cache drops the least recently used facts.

    The attack: a stranger requests many resources or scopes of a client, to fill the memory. So the cache has only
    facts of requests that got a token. It has few resources of each client, and at most `most` actions and audiences
    altogether.
    """

    def __init__(self, most: int = MOST) -> None:
        self._room = most
        self._kept: OrderedDict[str, dict[tuple[str, ...], KeptFacts]] = OrderedDict()  # by client id, by resources
        self._using = threading.Lock()

    def of(self, request: TokenRequest, now: float) -> KeptFacts | None:
        """Return the cached facts for this client and these resources; None if there are none.

        The facts may have an old authority version. Facts that were read `MOST_SECONDS` before `now` are left out.
        `now` is in seconds of the monotonic clock. The attack: raw SQL changes a row for a moment. Facts from this
        moment would affect tokens for a long time.
        """
        with self._using:
            of_client = self._kept.get(request.client_id)
            if of_client is None:
                return None
            self._kept.move_to_end(request.client_id)
            kept = of_client.get(request.resources)
            return kept if kept is not None and now - kept.read_at < MOST_SECONDS else None

    def with_templates(self, request: TokenRequest, new: KeptFacts) -> KeptFacts:
        """Return the new facts. If the cached facts are equal, the result also has their templates."""
        with self._using:
            kept = self._kept.get(request.client_id, {}).get(request.resources)
        return new if kept is None or kept.facts != new.facts else KeptFacts(new.facts, new.read_at, kept.templates)

    def keep(self, request: TokenRequest, kept: KeptFacts) -> None:
        """Cache the facts of a request that got a token. Call this only after the commit, which may fail."""
        with self._using:
            of_client = self._kept.setdefault(request.client_id, {})
            self._kept.move_to_end(request.client_id)
            if request.resources not in of_client and len(of_client) >= MOST_RESOURCES:
                self._forget(of_client, next(iter(of_client)))
            self._forget(of_client, request.resources)
            of_client[request.resources] = kept
            self._room -= weight(kept.facts)
            while self._room < 0 and len(self._kept) > 1:
                _, others = self._kept.popitem(last=False)
                for resources in [*others]:
                    self._forget(others, resources)

    def _forget(self, of_client: dict[tuple[str, ...], KeptFacts], resources: tuple[str, ...]) -> None:
        if (kept := of_client.pop(resources, None)) is not None:
            self._room += weight(kept.facts)


def weight(facts: Facts) -> int:
    """Return the number of actions and audiences in the facts, plus a constant for the other fields."""
    return FIXED_WEIGHT + sum(
        len(each.delegation.actions) + len(each.role.actions) + len(each.delegation.audiences)
        for each in facts.authorities
    )
