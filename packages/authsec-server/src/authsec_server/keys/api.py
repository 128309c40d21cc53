"""The signing keys over HTTP: the key set for verifiers, and admin API operations to list, rotate and revoke keys.

One operation replaces the sealing key of the audit log, and one shows the URLs of the authority.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from authsec.jose import SIGNATURE_ALGORITHMS, PublicKey
from authsec.jose.dpop import PROOF_ALGORITHMS
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server.audit.api import PATH as AUDIT_LOG_PATH
from authsec_server.keys import service
from authsec_server.keys.feed_keys import FeedKeys
from authsec_server.keys.key_ring import SigningKeyRing
from authsec_server.keys.model import JWKS_MAX_AGE, Algorithm, SigningKey, algorithm_of
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import Role
from authsec_server.revocations import api as revocations_api
from authsec_server.settings import Settings
from authsec_server.web.bodies import Body
from authsec_server.web.instants import rfc3339
from authsec_server.web.oauth import AUTHENTICATION_METHODS, AUTHORIZATION_PATH, Grant
from authsec_server.web.oauth_errors import TOKEN_PATH
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, declared, operation
from authsec_server.web.paging import PAGING, Page, paged, whole

PATH = f"{API}/keys"
JWKS_PATH = "/.well-known/jwks.json"
# RFC 8414 section 3, OpenID Connect Discovery 1.0 section 4: where verifiers look, given only the issuer.
METADATA_PATHS = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
PREFIXES = ("", "/authsec")  # an SDK that is given only the base URL looks under /authsec/
METADATA_ADDRESSES = frozenset(prefix + path for prefix in PREFIXES for path in METADATA_PATHS)
_CACHED = {"Cache-Control": f"public, max-age={JWKS_MAX_AGE.seconds}"}


class KeyRotation(Body):
    """The body of a rotation request.

    Each algorithm has its own keys, and a rotation replaces the keys of one algorithm. With `force`, the
    rotation does not wait until verifiers have fetched the next key. With `now`, a key that is made now signs at
    once, and the prepared key is revoked: a copy of the private keys then has no key that signs later.
    """

    algorithm: Literal["RS256", "ES256", "EdDSA"] = "RS256"
    force: bool = False
    now: bool = False


class KeyRevocation(Body):
    """The body of a key revocation request. `reason` is recorded in the audit log."""

    reason: str = ""


class SigningKeyShown(TypedDict):
    """A signing key as the admin API shows it."""

    kid: str
    algorithm: str
    state: str
    created_at: str
    activated_at: str | None
    retired_at: str | None
    publish_until: str | None


class FeedRotated(TypedDict):
    """The response to the creation of a feed key: the time from which the new key signs the revocation feed."""

    signs_from: str


def routes(settings: Settings, key_ring: SigningKeyRing) -> list[Route]:
    """Return the routes for verifiers: the JWK set and the metadata documents."""
    document = metadata(settings.issuer)

    async def jwks(_request: Request) -> JSONResponse:
        keys = await run_in_threadpool(key_ring.verification_keys)
        return JSONResponse({"keys": [as_jwk(key) for key in keys]}, headers=_CACHED)

    async def discover(_request: Request) -> JSONResponse:
        return JSONResponse(document, headers=_CACHED)

    return [
        *(Route(prefix + JWKS_PATH, jwks, methods=["GET"]) for prefix in PREFIXES),
        *(Route(path, discover, methods=["GET"]) for path in sorted(METADATA_ADDRESSES)),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOperations:
    """The operations on the authority's keys.

    RSA keys are generated before the transaction, and only after the permission check.
    """

    key_ring: SigningKeyRing
    feed_keys: FeedKeys

    @operation("GET", PATH, "listKeys", query=PAGING)
    async def page(self, call: Call[NoBody]) -> Page[SigningKeyShown]:
        """List the signing keys, newest first."""
        return await paged(call, service.is_kid, whole(service.every, by=lambda key: key.kid), as_json)

    @operation("POST", PATH + "/rotate", "rotateKeys", least=Role.ADMIN)
    async def rotate(self, call: Call[KeyRotation]) -> SigningKeyShown:
        """Rotate the signing keys of one algorithm: the prepared key, or a new key (`now`), becomes active."""
        algorithm, force = Algorithm(call.body.algorithm), call.body.force
        if call.body.now:
            fresh = await run_in_threadpool(self.key_ring.fresh, algorithm, 2)
            key = await call.change(lambda tx, act: self.key_ring.rotate_now(tx, act, fresh, algorithm))
            await run_in_threadpool(self.key_ring.drop_unpublished)
            return as_json(key)
        fresh = await run_in_threadpool(self.key_ring.fresh, algorithm, 1)
        return as_json(await call.change(lambda tx, act: self.key_ring.rotate(tx, act, fresh, algorithm, force=force)))

    @operation("POST", PATH + "/rotate-feed", "rotateFeedKey", least=Role.ADMIN)
    async def rotate_feed(self, call: Call[NoBody]) -> FeedRotated:
        """Create a new key for the revocation feed."""
        return {"signs_from": rfc3339(await call.change(self.feed_keys.rotate))}

    @operation("POST", PATH + "/{kid}/revoke", "revokeKey", least=Role.ADMIN)
    async def revoke(self, call: Call[KeyRevocation]) -> SigningKeyShown:
        """Revoke a signing key and the tokens that it signed."""
        because, kid = call.body.reason, call.of("kid")
        found = await call.read(lambda tx, act: service.get(tx, act, kid))
        fresh = await run_in_threadpool(self.key_ring.fresh, found.algorithm, 2)
        key = await call.change(lambda tx, act: self.key_ring.revoke(tx, act, kid, fresh, because=because))
        await run_in_threadpool(self.key_ring.drop_unpublished)  # after a dry run there is nothing to drop
        return as_json(key)


def operations(key_ring: SigningKeyRing, feed_keys: FeedKeys) -> list[AnyOperation]:
    """Return the operations on the authority's keys; see `KeyOperations`."""
    its = KeyOperations(key_ring=key_ring, feed_keys=feed_keys)
    return declared(its.page, its.rotate, its.rotate_feed, its.revoke)


def metadata(issuer: str) -> dict[str, Any]:
    """Return the metadata document of the issuer (RFC 8414).

    `issuer` comes from the settings, never from the Host header. OAuth clients request delegation tokens at
    `token_endpoint`, and the SDK at `delegation_token_endpoint`. The authorization endpoint refuses every request. The
    document names it because some clients require the member. A client without metadata may send its secret to the API
    that it wants to call. The last two members only satisfy OpenID Connect Discovery, which some libraries use to find
    keys. No ID token is issued.
    """
    return {
        "issuer": issuer,
        "jwks_uri": issuer + JWKS_PATH,
        "delegation_token_endpoint": issuer + "/authsec/uflow/sdk/delegation-token",
        "introspection_endpoint": issuer + "/authsec/v1/introspect",
        "introspection_endpoint_auth_methods_supported": ["Bearer", "client_secret_basic"],
        "revocation_endpoint": issuer + "/authsec/v1/revoke",
        # RFC 8414 section 2. None: the token is its own credential, see `tokens.revocation`.
        "revocation_endpoint_auth_methods_supported": ["none"],
        "authsec_revocations_uri": issuer + revocations_api.PATH,
        "authsec_revocations_keys_uri": issuer + revocations_api.KEYS_PATH,
        "authorization_endpoint": issuer + AUTHORIZATION_PATH,
        "token_endpoint": issuer + TOKEN_PATH,
        "token_endpoint_auth_methods_supported": [*AUTHENTICATION_METHODS],
        "token_endpoint_auth_signing_alg_values_supported": sorted(SIGNATURE_ALGORITHMS),
        "dpop_signing_alg_values_supported": [*PROOF_ALGORITHMS],
        "grant_types_supported": [*Grant],
        # The member is required, and no list is empty: RFC 8414 sections 2 and 3.2. Some clients replace empty lists.
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        # The algorithms of delegation tokens: some libraries verify any token by this member.
        "id_token_signing_alg_values_supported": [*Algorithm],
    }


def as_jwk(key: PublicKey) -> dict[str, str]:
    """Return the key as a JWK for publication (RFC 7517). The JWK allows only signatures of its one algorithm."""
    return {"kid": key.thumbprint(), "use": "sig", "alg": algorithm_of(key.kind), **key.to_jwk()}


def as_json(key: SigningKey) -> SigningKeyShown:
    """Convert the key to the form of the admin API."""
    return {
        "kid": key.kid,
        "algorithm": key.algorithm,
        "state": key.state,
        "created_at": rfc3339(key.created_at),
        "activated_at": rfc3339(key.activated_at),
        "retired_at": rfc3339(key.retired_at),
        "publish_until": rfc3339(key.publish_until),
    }


class SealKeyReplaced(TypedDict):
    """The names of the new sealing key and of the key that it replaces."""

    kid: str
    replaces: str


def sealing_key_operations(keys: SealingKeys, *, issuer: str) -> list[AnyOperation]:
    """Return the operation that replaces the sealing key."""

    @operation("POST", f"{AUDIT_LOG_PATH}/keys/rotate", "rotateSealingKey", least=Role.ADMIN, refusals=(409,))
    async def replace(call: Call[NoBody]) -> SealKeyReplaced:
        """Replace the sealing key of the audit log.

        The current key signs a record that names the new key.
        """
        rehearsed = call.dry_run is not None
        kid, before = await call.change(lambda tx, act: keys.replace(tx, act, issuer=issuer, rehearsed=rehearsed))
        return {"kid": kid, "replaces": before}

    return declared(replace)


class AuthorityShown(TypedDict):
    """The URL of this authority for agents and APIs, and the URL of its console and admin API."""

    issuer: str
    console: str


def authority_operations(*, issuer: str, console: str) -> list[AnyOperation]:
    """Return the operation that shows the URLs of the authority."""

    @operation("GET", f"{API}/authority", "showAuthority")
    async def show(_call: Call[NoBody]) -> AuthorityShown:
        """Get the URLs of the authority.

        Agents and APIs use `issuer`. Administrators and this API are at `console`. Often, both are the same.
        """
        return {"issuer": issuer, "console": console}

    return declared(show)
