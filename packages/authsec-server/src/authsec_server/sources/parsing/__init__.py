"""What is asked for a trust source, checked into one. Pure."""

from __future__ import annotations

from authsec_server.sources.cluster_validation import cluster_detail
from authsec_server.sources.model import Changes, NewSource
from authsec_server.sources.validation import (
    asks_otherwise,
    cannot_share,
    checked,
    edited,
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
