"""What the admin API shows of a trust source."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.sources.model import KeysFrom, SourceKind, TrustSource, looks_up_pods, provable
from authsec_server.web.instants import rfc3339


class SourceShown(TypedDict):
    """A source as the admin API shows it. `token_audience` is what its tokens must be for, as it stands."""

    id: str
    slug: str
    name: str
    kind: SourceKind
    issuer: str
    keys_from: KeysFrom
    keys_url: str | None
    given_keys: dict[str, Any] | None
    ca: str | None
    audience: str | None
    token_audience: str
    claims: dict[str, str]
    api_server: str | None
    api_ca: str | None
    credentials: str | None
    token_review: bool
    pod_lookup: bool
    proves: list[str]
    enabled: bool
    created_at: str
    revision: int
    changed_at: str | None
    changed_by: str | None


def as_json(source: TrustSource, issuer: str) -> SourceShown:
    """The source. `issuer` is this authority's own."""
    return {
        "id": source.id,
        "slug": source.slug,
        "name": source.name,
        "kind": source.kind,
        "issuer": source.issuer,
        "keys_from": source.keys_from,
        "keys_url": source.keys_url or None,
        "given_keys": dict(source.given_keys) if source.given_keys else None,
        "ca": source.ca or None,
        "audience": source.audience or None,
        "token_audience": source.audience or issuer,
        "claims": dict(source.claims),
        "api_server": source.cluster.url if source.cluster else None,
        "api_ca": (source.cluster.ca if source.cluster else "") or None,
        "credentials": source.cluster.credentials if source.cluster else None,
        "token_review": source.cluster is not None and source.cluster.reviews,
        "pod_lookup": looks_up_pods(source),
        "proves": list(provable(source)),
        "enabled": source.enabled,
        "created_at": rfc3339(source.created_at),
        "revision": source.revision,
        "changed_at": rfc3339(source.changed_at),
        "changed_by": source.changed_by or None,
    }
