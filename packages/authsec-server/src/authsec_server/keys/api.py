"""The signing keys over HTTP: published for every verifier, listed and rotated for administrators."""

from __future__ import annotations

from typing import Any

from authsec.jose import PublicKey
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.keys import service
from authsec_server.keys.custodian import Custodian
from authsec_server.keys.feed import FeedKeys
from authsec_server.keys.model import JWKS_MAX_AGE, SigningKey
from authsec_server.principal import Role
from authsec_server.revocations import api as revocations_api
from authsec_server.settings import Settings
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.paging import page_answer
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/keys"
JWKS_PATH = "/.well-known/jwks.json"
# RFC 8414 section 3, OpenID Connect Discovery 1.0 section 4: where verifiers look, given only the issuer.
METADATA_PATHS = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
PREFIXES = ("", "/authsec")  # an SDK that is given only the base URL looks under /authsec/
_CACHED = {"Cache-Control": f"public, max-age={JWKS_MAX_AGE.seconds}"}


class Rotation(Body):
    """What a rotation may be told. By force it does not wait until verifiers have seen the next key."""

    force: bool = False


class FeedRotation(Body):
    """What a rotation of the feed's key may be told: nothing. It never hurries."""


class Revocation(Body):
    """Why a key is revoked, for the journal."""

    reason: str = ""


def routes(site: Site, settings: Settings, custodian: Custodian, feed_keys: FeedKeys) -> list[Route]:
    """The routes of this room."""
    document = metadata(settings.issuer)

    async def jwks(_request: Request) -> JSONResponse:
        keys = await run_in_threadpool(custodian.verification_keys)
        return JSONResponse({"keys": [as_jwk(key) for key in keys]}, headers=_CACHED)

    async def discover(_request: Request) -> JSONResponse:
        return JSONResponse(document, headers=_CACHED)

    async def every(request: Request) -> JSONResponse:
        act = await site.act(request)
        return page_answer(map(as_json, await site.read(lambda tx: service.every(tx, act))), None)

    async def rotate(request: Request) -> JSONResponse:
        act = await site.act(request)
        body = await read_body(request, Rotation)
        act.principal.require(Role.ADMIN)  # before a stranger can have us make keys
        fresh = await run_in_threadpool(custodian.make)
        key = await site.change(act, lambda tx, act: custodian.rotate(tx, act, fresh, force=body.force))
        return JSONResponse(as_json(key))

    async def rotate_feed(request: Request) -> JSONResponse:
        act = await site.act(request)
        await read_body(request, FeedRotation)
        signs_from = await site.change(act, feed_keys.rotate)
        return JSONResponse({"signs_from": rfc3339(signs_from)})

    async def revoke(request: Request) -> JSONResponse:
        act = await site.act(request)
        because, kid = (await read_body(request, Revocation)).reason, request.path_params["kid"]
        act.principal.require(Role.ADMIN)  # before a stranger can have us make keys
        await site.read(lambda tx: service.get(tx, act, kid))
        fresh = await run_in_threadpool(custodian.make_two)
        key = await site.change(act, lambda tx, act: custodian.revoke(tx, act, kid, fresh, because=because))
        await run_in_threadpool(custodian.let_go)
        return JSONResponse(as_json(key))

    return [
        *(Route(prefix + JWKS_PATH, jwks, methods=["GET"]) for prefix in PREFIXES),
        *(Route(prefix + path, discover, methods=["GET"]) for prefix in PREFIXES for path in METADATA_PATHS),
        Route(PATH, every, methods=["GET"]),
        Route(PATH + "/rotate", rotate, methods=["POST"]),
        Route(PATH + "/rotate-feed", rotate_feed, methods=["POST"]),
        Route(PATH + "/{kid}/revoke", revoke, methods=["POST"]),
    ]


def metadata(issuer: str) -> dict[str, Any]:
    """What a verifier can learn from the issuer's name alone. `issuer` is the setting, never the Host header.

    There is no `token_endpoint`: delegation tokens are asked for at an endpoint with a contract of its own. The last
    two members only satisfy OpenID Connect Discovery, by which some libraries find keys; no ID token is issued.
    """
    return {
        "issuer": issuer,
        "jwks_uri": issuer + JWKS_PATH,
        "delegation_token_endpoint": issuer + "/authsec/uflow/sdk/delegation-token",
        "introspection_endpoint": issuer + "/authsec/v1/introspect",
        "introspection_endpoint_auth_methods_supported": ["Bearer", "client_secret_basic"],
        "revocation_endpoint": issuer + "/authsec/v1/revoke",
        # RFC 8414 section 2. None: the token is its own credential, see `tokens.giving_up`.
        "revocation_endpoint_auth_methods_supported": ["none"],
        "authsec_revocations_uri": issuer + revocations_api.PATH,
        "authsec_revocations_keys_uri": issuer + revocations_api.KEYS_PATH,
        "grant_types_supported": [],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def as_jwk(key: PublicKey) -> dict[str, str]:
    """The key as published (RFC 7517): for signatures by RS256 and for nothing else."""
    return {"kid": key.thumbprint(), "use": "sig", "alg": "RS256", **key.to_jwk()}


def as_json(key: SigningKey) -> dict[str, Any]:
    """The key as the admin API shows it."""
    return {
        "kid": key.kid,
        "state": key.state,
        "created_at": rfc3339(key.created_at),
        "activated_at": rfc3339(key.activated_at),
        "retired_at": rfc3339(key.retired_at),
        "publish_until": rfc3339(key.publish_until),
    }
