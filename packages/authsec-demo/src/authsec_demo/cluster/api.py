"""The HTTP interface of the simulated cluster: it authenticates the user, authorises the request and answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from authsec_demo.cluster import lifecycle
from authsec_demo.cluster.authentication import Authenticator, NotAuthenticated
from authsec_demo.cluster.issuer import Issuer
from authsec_demo.cluster.objects import Objects
from authsec_demo.cluster.rbac import binds, in_words, may
from authsec_demo.cluster.requests import Asked, parse
from authsec_demo.cluster.resources import (
    ACCOUNTS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    PODS,
    RESOURCES,
    ROLE_BINDINGS,
    ROLES,
    TOKEN_REVIEWS,
    VERSION,
    Resource,
    groups,
    resources_of,
    versions,
)
from authsec_demo.cluster.statuses import (
    Refusal,
    bad_request,
    forbidden,
    forbidden_path,
    method_not_allowed,
    no_such_path,
    unauthorized,
    unsupported_media_type,
)
from authsec_demo.cluster.tokens import request_token, review_token
from authsec_demo.cluster.users import ANONYMOUS, User

_log: Final = logging.getLogger(__name__)
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_HEALTH: Final = ("/healthz", "/livez", "/readyz")
_CACHED: Final = {"Cache-Control": "public, max-age=3600"}


class ApiServer:
    """An ASGI application that answers Kubernetes API requests about `objects`."""

    def __init__(self, objects: Objects, issuer: Issuer, authenticator: Authenticator) -> None:
        self._objects = objects
        self._issuer = issuer
        self._authenticator = authenticator
        self.app = Starlette(routes=[Route("/{path:path}", self._answer, methods=_METHODS)])

    async def _answer(self, request: Request) -> Response:
        answer = await self._answered(request)
        answer.headers["Connection"] = "close"  # An open connection would delay the server's shutdown.
        return answer

    async def _answered(self, request: Request) -> Response:
        try:
            asked = parse(request.method, request.url.path)
            user = self._user(request)
            self._authorise(user, asked)
            given = _object(await request.body(), request.headers.get("Content-Type", ""))
            if not asked.resource:
                return self._path(asked, f"{request.url.scheme}://{request.url.netloc}")
            answer = self._resource(asked, given, request.query_params)
        except Refusal as refusal:
            return JSONResponse(refusal.status, refusal.code)
        return JSONResponse(answer, 201 if asked.verb == "create" else 200)

    def _user(self, request: Request) -> User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return ANONYMOUS
        try:
            return self._authenticator.authenticate(token.strip() if scheme.lower() == "bearer" else "").user
        except NotAuthenticated as error:
            _log.warning("Unable to authenticate the request: %s", error)
            raise unauthorized() from None

    def _authorise(self, user: User, asked: Asked) -> None:
        if may(asked, self._rules(user, asked.namespace)):
            return
        why = in_words(user, asked)
        if not asked.resource:
            raise forbidden_path(why)
        raise forbidden(asked.resource, asked.name, asked.group, why)

    def _rules(self, user: User, namespace: str) -> list[Mapping[str, Any]]:
        """Return the rules of every role that a binding of the cluster or of this namespace gives to the user."""
        found: list[Mapping[str, Any]] = []
        bindings = self._objects.list(CLUSTER_ROLE_BINDINGS)
        if namespace:
            bindings += self._objects.list(ROLE_BINDINGS, namespace)
        for binding in bindings:
            if binds(binding, user):
                referred = binding["roleRef"]
                where = ROLES if referred["kind"] == "Role" else CLUSTER_ROLES
                role = self._objects.find(where, namespace, referred["name"])
                found += (role or {}).get("rules") or []
        return found

    def _path(self, asked: Asked, address: str) -> Response:
        """Answer a request for health, version, API discovery, issuer discovery or the key set.

        The paths of these documents are not resources. Raises `Refusal` for an unknown path, or a method other than
        GET.
        """
        path = asked.path.rstrip("/")
        if asked.verb != "get":
            raise method_not_allowed()
        if path in _HEALTH:
            return PlainTextResponse("ok")
        if path == "/.well-known/openid-configuration":
            return JSONResponse(self._issuer.discovery(address), headers=_CACHED)
        if path == "/openid/v1/jwks":
            return JSONResponse(self._issuer.key_set(), headers=_CACHED, media_type="application/jwk-set+json")
        known = {"/version": VERSION, "/api": versions(address.partition("//")[2]), "/apis": groups()}
        found = known.get(path) or _discovered(path)
        if found is None:
            raise no_such_path()
        return JSONResponse(found)

    def _resource(self, asked: Asked, given: Mapping[str, Any], query: Mapping[str, str]) -> Mapping[str, Any]:
        resource = RESOURCES.get((asked.group, asked.resource))
        if resource is None:
            raise no_such_path()
        if resource == TOKEN_REVIEWS and asked.verb == "create":
            return review_token(self._authenticator, given)
        if resource == ACCOUNTS and asked.subresource == "token" and asked.verb == "create":
            return request_token(self._objects, self._issuer, asked.namespace, asked.name, given)
        if asked.subresource:
            raise no_such_path()
        if not resource.kept or (resource.namespaced and not asked.namespace and asked.verb != "list"):
            raise method_not_allowed()
        return self._kept(asked, resource, given, query)

    def _kept(
        self, asked: Asked, resource: Resource, given: Mapping[str, Any], query: Mapping[str, str]
    ) -> Mapping[str, Any]:
        namespace = asked.namespace if resource.namespaced else ""
        if asked.verb == "get":
            return self._objects.get(resource, namespace, asked.name)
        if asked.verb == "list":
            if "watch" in query or "fieldSelector" in query:
                raise bad_request("this simulated cluster supports neither watches nor field selectors")
            return _listed(resource, self._objects.list(resource, namespace, query.get("labelSelector", "")))
        if asked.verb == "create":
            return lifecycle.create(self._objects, resource, namespace, given)
        if asked.verb == "patch":
            return self._objects.patch(resource, namespace, asked.name, given)
        if asked.verb == "delete":
            grace = query.get("gracePeriodSeconds", given.get("gracePeriodSeconds"))
            gone = lifecycle.delete(self._objects, resource, namespace, asked.name, int(grace or 0))
            return gone if resource in (PODS, ACCOUNTS) else _deleted(resource, gone)
        raise method_not_allowed()


def _object(body: bytes, media_type: str) -> Mapping[str, Any]:
    if media_type and "json" not in media_type:  # A body without a media type is JSON.
        raise unsupported_media_type()
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise bad_request("the body of the request is not a JSON object")
    return value


def _discovered(path: str) -> Mapping[str, Any] | None:
    if path == "/api/v1":
        return resources_of("")
    _, _, rest = path.partition("/apis/")
    group, _, version = rest.partition("/")
    return resources_of(group) if group and version == "v1" else None


def _listed(resource: Resource, items: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Return the items as a list object. Only the list has `kind` and `apiVersion`; the items have neither."""
    bare = [{name: value for name, value in each.items() if name not in ("kind", "apiVersion")} for each in items]
    newest = max((int(each["metadata"]["resourceVersion"]) for each in items), default=1)
    metadata = {"resourceVersion": str(newest)}
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata, "items": bare}


def _deleted(resource: Resource, gone: Mapping[str, Any]) -> Mapping[str, Any]:
    group = {"group": resource.group} if resource.group else {}
    details = {"name": gone["metadata"]["name"], **group, "kind": resource.plural, "uid": gone["metadata"]["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
