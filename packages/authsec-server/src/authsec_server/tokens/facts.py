"""Load the facts for the decision on a token request, and keep those of recent requests in memory.

Kept facts have the authority version at which they were read. They let a request continue; they never refuse one: who
wants to refuse reads again. The transaction that records the token compares the version once more.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from authsec_server.apis import service as apis
from authsec_server.clients import service as clients
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.issuers import service as issuers
from authsec_server.tokens.decision import Facts, GrantedAuthority
from authsec_server.tokens.request import TokenRequest
from authsec_server.tokens.templates import Template, TemplateKey

MOST: Final = 20_000  # requests of different clients or for different resources


def load_facts(tx: Tx, request: TokenRequest) -> Facts:
    """Load the data for the decision on this request, in this transaction."""
    client = clients.load(tx, request.client_id)
    resolved = {resource: apis.resolve(tx, resource) for resource in request.resources}
    return Facts(
        version=tx.version,
        client=client,
        authorities=tuple(
            GrantedAuthority(delegation=delegation, role=role)
            for delegation, role in delegations.of_client(tx, client.id)
        )
        if client
        else (),
        audiences={resource: identifier for resource, identifier in resolved.items() if identifier},
        trusted_issuers=issuers.by_ids(tx, client.trusted_issuer_ids) if client and client.trusted_issuer_ids else {},
    )


@dataclass(slots=True)
class KeptFacts:
    """Facts, and the templates of the tokens that were granted on them."""

    facts: Facts
    templates: dict[TemplateKey, Template] = field(default_factory=dict)


class RecentFacts:
    """The facts of recent requests. Above `most`, the oldest are forgotten.

    `at_version` must be called in each transaction that decides on kept facts, before they are compared.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[tuple[str, tuple[str, ...]], KeptFacts] = {}
        self._highest = 0
        self._writing = threading.Lock()

    def of(self, request: TokenRequest) -> KeptFacts | None:
        """Return the facts for a request of this client for these resources, of any version; None if there are none."""
        return self._kept.get((request.client_id, request.resources))

    def keep(self, request: TokenRequest, facts: Facts) -> KeptFacts:
        """Keep the facts, and return them. Those of an unknown client are not kept, because anybody can invent ids."""
        kept = KeptFacts(facts)
        if facts.client is None:
            return kept
        key = request.client_id, request.resources
        with self._writing:
            if key not in self._kept and len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = kept
        return kept

    def at_version(self, version: int) -> None:
        """Forget all facts if the authority version has gone back: it will name another authority when it comes again.

        The attack: an older database takes the place of the present one, and is changed until it has the same version.
        """
        with self._writing:
            if version < self._highest:
                self._kept.clear()
            self._highest = version
