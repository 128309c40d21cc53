"""Protected resource metadata (RFC 9728): an API publishes its trusted issuers.

A refused client finds the metadata's URL in the challenge, and the authority's address in the metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from authsec.verifier import Verifier

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
# A URL without user, query and fragment. Its characters need no escape in the quoted strings of a challenge.
_PLAIN_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~!$&'()*+,;=:%/-]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceMetadata:
    """The metadata document of one API, its URL, and the request path at which the API serves it."""

    url: str
    path: str
    document: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        issuers: Sequence[str],
        audience: str,
        actions: Sequence[str] = (),
        *,
        proof_algorithms: Sequence[str] = (),
        requires_dpop: bool = False,
    ) -> Self | None:
        """Build the metadata; return None if the audience is not a URL. RFC 9728 §1.2 allows only URLs.

        If the API accepts bound tokens, `proof_algorithms` are the signature algorithms of their proofs.
        """
        if not _PLAIN_URL.fullmatch(audience):
            return None
        url = well_known_url(audience)
        document: dict[str, Any] = {
            "resource": audience,
            "authorization_servers": list(issuers),
            "bearer_methods_supported": ["header"],
        }
        if actions:
            document["scopes_supported"] = list(actions)
        if proof_algorithms:
            document["dpop_signing_alg_values_supported"] = list(proof_algorithms)
        if requires_dpop:
            document["dpop_bound_access_tokens_required"] = True
        return cls(url=url, path=unquote(urlsplit(url).path), document=document)


def metadata_of(verifier: Verifier, actions: Sequence[str] = ()) -> ResourceMetadata | None:
    """Build the metadata of the API that `verifier` protects; return None if its audience is not a URL."""
    return ResourceMetadata.of(
        verifier.issuers,
        verifier.audience,
        actions,
        proof_algorithms=proof_algorithms(verifier),
        requires_dpop=verifier.requires_dpop,
    )


def proof_algorithms(verifier: Verifier) -> Sequence[str]:
    """Return the signature algorithms of DPoP proofs that the API accepts; none if it accepts no bound tokens."""
    if not verifier.accepts_dpop:
        return ()
    from authsec.jose.dpop import PROOF_ALGORITHMS  # only APIs that use it wait for the import

    return PROOF_ALGORITHMS


def well_known_url(resource: str) -> str:
    """Return the metadata's URL: the well-known path comes between host and path of `resource` (RFC 9728 §3.1)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path.removesuffix('/')}"


def is_plain_url(url: str) -> bool:
    """Whether `url` is an http or https URL with a host, and without user, query and fragment."""
    try:
        return bool(_PLAIN_URL.fullmatch(url) and urlsplit(url).hostname and urlsplit(url).port != 0)
    except ValueError:  # not a URL
        return False
