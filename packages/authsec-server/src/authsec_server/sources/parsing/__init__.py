"""What is asked for a trust source, checked into one. Pure."""

from __future__ import annotations

from authsec_server.sources.parsing.asked import Changes, NewSource
from authsec_server.sources.parsing.checking import checked, edited
from authsec_server.sources.parsing.clusters import cluster_detail
from authsec_server.sources.parsing.comparing import (
    asks_otherwise,
    cannot_share,
    given_keys,
    given_thumbprints,
    narrows,
    same_keys,
)

__all__ = [
    "Changes",
    "NewSource",
    "asks_otherwise",
    "cannot_share",
    "checked",
    "cluster_detail",
    "edited",
    "given_keys",
    "given_thumbprints",
    "narrows",
    "same_keys",
]
