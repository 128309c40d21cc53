"""What an ending would stop, as JSON: in the answer to a dry run, and in the words of pages and commands."""

from __future__ import annotations

from datetime import datetime

from authsec_server.delegations.consequences import Consequences
from authsec_server.delegations.tokens_out import AtApi
from authsec_server.revocations.followers.model import Following
from authsec_server.web.instants import rfc3339
from authsec_server.web.rehearsal import AtApi as AtApiShown
from authsec_server.web.rehearsal import WouldStop


def as_json(what: Consequences, now: datetime) -> WouldStop:
    """What would stop, as the admin API shows it. With `more`, the numbers are the least that it may be."""
    return {
        "agents": [{"client_id": each.id, "name": each.name, "goes_on": each.id in what.go_on} for each in what.agents],
        "delegations": [{"id": each.id, "name": each.name} for each in what.delegations],
        "live_tokens": what.live_tokens,
        "until": rfc3339(what.out_until),
        "apis": [_api(each) for each in what.apis],
        "more": what.more,
        "as_of": rfc3339(now),
    }


def _api(each: AtApi) -> AtApiShown:
    return {
        "audience": each.audience,
        "name": each.name,
        "api": each.slug or None,
        "following": each.following is not Following.NO,
        "proved": each.following is Following.PROVED,
        "seen_at": rfc3339(each.seen_at),
        "until": rfc3339(each.until),
    }
