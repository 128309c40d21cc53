"""Adds a token to every request of `requests`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from authsec.outgoing.bearer import Bearer, Origin, header, origin_of
from authsec.tokens import DelegationToken

if TYPE_CHECKING:
    from requests import PreparedRequest, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsAuth:
    """The object for the argument `auth=` of `requests` or its `Session`. `AuthSecClient.requests_auth` makes it."""

    bearer: Bearer

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        origin = origin_of(request.url or "")
        if origin is not None and self.bearer.allows(origin):
            token = self.bearer.token()
            request.headers.update(self.bearer.client.headers(token, request.method or "", request.url or ""))
            sent = _Sent(bearer=self.bearer, origin=origin, token=token)
            request.register_hook("response", sent.answered)  # type: ignore[no-untyped-call] # in the stubs of requests
        return request


@dataclass(slots=True, kw_only=True)
class _Sent:
    """One request in progress, including its redirects and its retry."""

    bearer: Bearer
    origin: Origin
    token: DelegationToken
    retried: bool = field(default=False)

    def answered(self, response: Response, **how: Any) -> Response:
        """Handle each response before `requests` follows a redirect. This method is a response hook of `requests`."""
        request = response.request
        if request.headers.get("Authorization") != header(self.token):
            return response  # the request carried no token, because a redirect led to another origin
        if response.is_redirect:
            from requests.utils import requote_uri  # imported already, by whoever has sent this request

            target = requote_uri(urljoin(response.url, response.headers["location"]))
            if origin_of(target) != self.origin:
                # On a redirect from http to https, `requests` itself would keep the header.
                for name in ("Authorization", "DPoP"):
                    request.headers.pop(name, None)
            else:  # A proof is for one method and URL, and `requests` builds the next request from this one.
                request.headers.update(self.bearer.client.headers(self.token, _redirected(response), target))
            return response
        another = self.bearer.needs_new_token(response.status_code, self.origin, self.token)
        if not another or self.retried or not isinstance(request.body, bytes | str | None):
            return response
        self.retried = True
        return self._second_try(response, **how)

    def _second_try(self, response: Response, **how: Any) -> Response:
        try:
            # The connection is only free after the body was read.
            _ = response.content
        finally:
            response.close()
        self.token = self.bearer.token()
        # Not a copy: `requests` builds the request for a redirect from this object.
        request = response.request
        request.headers.update(self.bearer.client.headers(self.token, request.method or "", request.url or ""))
        second: Response = response.connection.send(request, **how)
        second.history.append(response)
        return self.answered(second, **how)


def _redirected(response: Response) -> str:
    """Return the method of the request that follows this redirect (`Session.rebuild_method` of `requests`)."""
    method = response.request.method or ""
    to_get = {303: method != "HEAD", 302: method != "HEAD", 301: method == "POST"}
    return "GET" if to_get.get(response.status_code, False) else method
