"""What the admin API shows of a protected API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.apis.model import Api
from authsec_server.revocations.followers.model import Following, Seen
from authsec_server.web.instants import rfc3339

Followed = Mapping[str, Seen]


class ActionShown(TypedDict):
    """An action in the API's own words."""

    action: str
    description: str


class FollowingShown(TypedDict):
    """Whether the API is known to follow revocations."""

    following: bool
    proved: bool
    seen_at: str | None


class ApiShown(TypedDict):
    """An API as the admin API shows it."""

    id: str
    slug: str
    name: str
    kind: str
    identifier: str
    description: str
    actions: list[ActionShown]
    created_at: str
    revision: int
    changed_at: str | None
    revocations: FollowingShown


def as_json(api: Api, followed: Followed, now: datetime) -> ApiShown:
    """The API as the admin API shows it; `followed` is what is known of who follows revocations."""
    seen = followed.get(api.identifier)
    following = seen.at(now) if seen else Following.NO
    return {
        "id": api.id,
        "slug": api.slug,
        "name": api.name,
        "kind": api.kind,
        "identifier": api.identifier,
        "description": api.description,
        "actions": [{"action": each.action, "description": each.description} for each in api.actions],
        "created_at": rfc3339(api.created_at),
        "revision": api.revision,
        "changed_at": rfc3339(api.changed_at),
        "revocations": {
            "following": following is not Following.NO,
            "proved": following is Following.PROVED,
            "seen_at": rfc3339(seen.seen_at) if seen else None,
        },
    }
