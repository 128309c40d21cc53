"""What a caller tries, on every proxy alike, and how one sees at the API that an attack has succeeded."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from authsec.verify_server import identity_headers

from .exchanges import Http1, Http2
from .recording_api import Request

NAMES = {name.lower() for name in identity_headers.NAMES}
METADATA = "/.well-known/oauth-protected-resource"

_PROTECTED = re.compile(r"^/(customers/)?delete(/|$)", re.IGNORECASE)
_OVERRIDES = ("x-original-ur", "x-rewrite-ur", "x-http-method", "x-method-override")
_INSIDE = "GET /delete/42 HTTP/1.1\r\nHost: api\r\nAuthSec-Agent: evil\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """Requests of a caller who has no token, or one that allows reading customers and nothing else."""

    name: str
    title: str
    exchanges: Sequence[Http1 | Http2]


def damage(request: Request) -> Iterator[str]:
    """What went wrong, if the API got this request from a caller who may read customers only."""
    if request.is_tunnelled:
        yield "bytes that no proxy has looked at"
    if any(_PROTECTED.match(reading) for reading in _readings(request.path)):
        yield f"a path that needs another action: {request.path}"
    for name, value in (*request.fields, *request.trailers):
        dashed = re.sub(r"[^a-z0-9]", "-", name)
        if dashed.startswith("authsec") and "evil" in value:
            yield f"an identity of the caller's choice: {name}"
        if dashed.startswith(_OVERRIDES) and value:
            yield f"another path or method: {name}"
    if any(re.sub(r"[^a-z0-9]", "-", name).startswith("authsec") for name, _ in request.trailers):
        yield "a trailer that is called as an identity"
    told = {name: len(request.values(name)) for name in NAMES}
    if not request.path.startswith(("/open", "http")) and set(told.values()) != {1}:
        yield f"an identity that is not whole: {told}"
    lengths, codings = request.values("content-length"), request.values("transfer-encoding")
    if len(lengths) + len(codings) > 1:
        yield f"a body of more than one length: {lengths}, {codings}"


def _readings(path: str) -> set[str]:
    """The paths that some API takes this one for: decoded once or again, without parameters, with dots resolved."""
    path = path.partition("?")[0]
    spellings = {path, unquote(path), unquote(unquote(path)), unquote(unquote(unquote(path)))}
    spellings |= {each.replace("\\", "/") for each in spellings}
    spellings |= {re.sub(r";[^/]*", "", each) for each in spellings}
    spellings |= {re.split(r"[\0-\x1f\x7f#]", each)[0] for each in spellings}
    spellings |= {re.sub(r"[\0-\x20\x7f]", "", each) for each in spellings}
    return spellings | {posixpath.normpath(re.sub("/+", "/", each)) for each in spellings}


def _get(target: str, *lines: str, version: str = "HTTP/1.1", method: str = "GET") -> Http1:
    """A request with the caller's token, if there is one."""
    head = "\r\n".join([f"{method} {target} {version}", "Host: @HOST@", "Connection: close", *lines])
    return Http1(data=f"{head}\r\n@AUTHORIZATION@\r\n")


def _posted(target: str, framing: Iterable[str], body: str, then: str = "") -> Http1:
    head = "\r\n".join([f"POST {target} HTTP/1.1", "Host: @HOST@", *framing])
    return Http1(data=f"{head}\r\n@AUTHORIZATION@\r\n{body}", then=then)


def _everywhere(*lines: str) -> list[Http1]:
    return [_get(path, line) for line in lines for path in ("/customers/42", "/open/42")]


WAYS_ROUND = [
    "/open/../delete/42", "/customers/../delete/42", "/customers/%2e%2e/delete/42", "/open/%2e%2e/delete/42",
    "/open/.%2E/delete/42", "/open/..%2fdelete/42", "/open//../delete/42", "//delete/42", "/open/..//delete/42",
    "/%64elete/42", "/customers/%64elete/42", "/./delete/42", f"{METADATA}/../../delete/42",
    f"{METADATA}/%2e%2e/%2e%2e/delete/42", "/DELETE/42", "/customers/Delete/42", "/delete",
    "/open/%252e%252e/delete/42", "/open/..%252fdelete/42", "/open/..%25253b/delete/42", "/%2564elete/42",
]  # fmt: skip
PARAMETERS = [
    "/open/..;/delete/42", "/open/..;x/delete/42", "/open/%2e%2e;/delete/42", "/open/%2e.;/delete/42",
    "/open/..%3b/delete/42", "/open/.;/../delete/42", "/customers/..;/delete/42", "/delete;x/42", "/delete%3Bx/42",
    "/customers/delete;x/42", "/open/..%5cdelete/42", "/open/..%5Cdelete/42", "/open/..\\delete/42",
    "/customers\\delete\\42", "/open/#/../delete/42", "/delete#/../open/42",
]  # fmt: skip
CONTROLS = [
    f"/{before}{encoded}{after}"
    for encoded in ("%00", "%01", "%0a", "%0d", "%1F", "%7f", "%7F", "%2500", "%257f", "\x01", "\x7f", "\t")
    for before, after in (("delete", "/42"), ("open/..", "/delete/42"), ("customers/delete", "/42"), ("open/", "42"))
]
SPELLINGS = [
    "AuthSec-Agent: evil",
    "authsec_agent: evil",
    "AUTHSEC-Permissions: evil",
    "AuthSec-Client_Id: evil",
    "authsec_token_id: evil",
    "AuthSec-Agent : evil",
    "AuthSec-Agent:\tevil",
    "AuthSec-Agent:evil\r\n evil",
    "AuthSec-Roles: evil\r\nAuthSec-Roles: evil",
    "AuthSec-Delegations: 0\r\nAuthSec-Expires: evil",
    "AuthSec.Agent: evil",
    "AuthSec~Agent: evil",
    "AuthSec_Agent:",
    "AuthSec-Token_Id:",
    "AuthSec_Attestation:\r\nAuthSec_Agent: evil",
    "AuthSec_Agent: evil\r\nAuthSec_Attestation:",
    "AuthSec.Agent: evil\r\nAuthSec~Agent:",
    "AuthSec_Client.Id: evil\r\nAuthSec~Agent:",
    "X: y\nAuthSec-Agent: evil",
    "X: y\rAuthSec-Agent: evil",
]
_TRAILERS = "0\r\nAuthSec-Agent: evil\r\nAuthSec_Permissions: evil\r\n\r\n"
_CHUNKED = "Transfer-Encoding: chunked"
_UPGRADES = ("foo", "h2c", "TLS/1.0", "websocketx", "foo, websocket", "websocket, foo")
_EVIL = ("authsec-agent", "evil")
_FIELDS = [
    _EVIL,
    ("authsec_agent", "evil"),
    ("AuthSec-Agent", "evil"),
    ("authsec.agent", "evil"),
    ("x", "y\r\nauthsec-agent: evil"),
    ("x\r\nauthsec-agent: evil\r\nx", "y"),
    ("x: y\r\nauthsec-agent", "evil"),
    ("connection", "authsec-agent"),
    ("transfer-encoding", "chunked"),
    ("x-original-url", "/delete/42"),
    ("upgrade", "foo"),
    ("content-length", "5"),
]

ATTACKS = [
    Attack(
        name="trailers",
        title="identity headers in chunked trailers",
        exchanges=[
            _posted(path, [_CHUNKED, *more], f"{body}{_TRAILERS}")
            for path in ("/customers/42", "/open/42")
            for more in ([], ["Trailer: AuthSec-Agent, AuthSec_Permissions", "TE: trailers", "Connection: TE"])
            for body in ("", "3\r\nabc\r\n")
        ],
    ),
    Attack(
        name="upgrades",
        title="tunnels by `Upgrade: foo`, `h2c` and others",
        exchanges=[
            Http1(
                data=f"GET {path} HTTP/1.1\r\nHost: @HOST@\r\nConnection: {options}\r\nUpgrade: {upgrade}\r\n"
                f"HTTP2-Settings: AAMAAABkAAQAAP__\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n@AUTHORIZATION@\r\n",
                then=_INSIDE,
            )
            for path in ("/customers/42", "/open/42")
            for upgrade in (*_UPGRADES, "foo\r\nUpgrade: websocket", "websocket\r\nUpgrade: foo")
            for options in ("Upgrade, HTTP2-Settings",)
        ],
    ),
    Attack(
        name="connect",
        title="tunnels by `CONNECT`",
        exchanges=[
            Http1(data=f"CONNECT {target} HTTP/1.1\r\nHost: @HOST@\r\n@AUTHORIZATION@\r\n", then=_INSIDE)
            for target in ("@HOST@", "/open/42", "api:80")
        ],
    ),
    Attack(name="control characters", title="control characters in paths", exchanges=[*map(_get, CONTROLS)]),
    Attack(
        name="other spellings",
        title="`//`, `/../`, `%2e%2e`, twice encoded paths",
        exchanges=[*map(_get, WAYS_ROUND)],
    ),
    Attack(name="parameters", title="`;`, `\\` and `#` in paths", exchanges=[*map(_get, PARAMETERS)]),
    Attack(
        name="targets",
        title="absolute-form targets, HTTP/1.0, no `Host`, two of them",
        exchanges=[
            *(_get(f"http://@HOST@{path}") for path in ("/delete/42", "/open/..;/delete/42", "/open/../delete/42")),
            _get("http://other.example/delete/42"),
            _get("//other.example/delete/42"),
            _get("@HOST@/delete/42"),
            _get("*", method="OPTIONS"),
            _get("/delete/42", version="HTTP/1.0"),
            Http1(data="GET /delete/42 HTTP/1.0\r\n@AUTHORIZATION@\r\n"),
            Http1(data="GET /delete/42 HTTP/1.1\r\n@AUTHORIZATION@\r\n"),
            Http1(data="GET /delete/42\r\n"),
            Http1(data="GET /delete/42 HTTP/1.1\r\nHost: @HOST@\r\nHost: other.example\r\n@AUTHORIZATION@\r\n"),
            Http1(data="GET /open/42 HTTP/1.0\r\nAuthSec-Agent: evil\r\n@AUTHORIZATION@\r\n"),
        ],
    ),
    Attack(
        name="identity headers",
        title="identity headers in other cases, with `_`, `.`, `~`, twice, folded",
        exchanges=_everywhere(*SPELLINGS),
    ),
    Attack(
        name="connection options",
        title="identity headers named in `Connection`",
        exchanges=[
            Http1(data=f"GET /customers/42 HTTP/1.1\r\nHost: @HOST@\r\n{line}\r\n@AUTHORIZATION@\r\n")
            for line in (
                "Connection: close, AuthSec-Agent, AuthSec-Permissions, AuthSec-Attestation",
                "Connection: authsec-agent",
                "Connection: upgrade,\tAUTHSEC-Attestation ,close",
                "Connection: close\r\nConnection: AuthSec-Agent",
                "Proxy-Connection: AuthSec-Agent",
            )
        ],
    ),
    Attack(
        name="authorizations",
        title="two `Authorization`, or one of two tokens",
        exchanges=[
            _get("/delete/42", "Authorization: Bearer evil"),
            _get("/delete/42", "Authorization: Basic ZXZpbDpldmls"),
            _get("/delete/42", "@AUTHORIZATION@X: y"),
            _get("/delete/42?access_token=@TOKEN@"),
            _get("/delete/42", "Authorization: Bearer @TOKEN@, Bearer @TOKEN@"),
            _get("/delete/42", "authorization_: Bearer @TOKEN@", "Proxy-Authorization: Bearer @TOKEN@"),
        ],
    ),
    Attack(
        name="overrides",
        title="another path or method in a header",
        exchanges=_everywhere(
            "X-Original-URL: /delete/42",
            "X_Original_URL: /delete/42",
            "X-Rewrite-URL: /delete/42",
            "X-Original-URI: /delete/42",
            "X-HTTP-Method-Override: DELETE",
            "X_HTTP_METHOD_OVERRIDE: DELETE",
            "X-HTTP-Method: DELETE",
            "X-Method-Override: DELETE",
        ),
    ),
    Attack(
        name="smuggling",
        title="request smuggling by `Content-Length` and `Transfer-Encoding`",
        exchanges=[
            _posted(path, framing, body, _INSIDE)
            for path in ("/customers/42", "/open/42")
            for framing, body in (
                ((f"Content-Length: {len(_INSIDE) + 5}", _CHUNKED), f"0\r\n\r\n{_INSIDE}"),
                ((_CHUNKED, "Content-Length: 4"), f"{len(_INSIDE):x}\r\n{_INSIDE}\r\n0\r\n\r\n"),
                (("Transfer-Encoding: xchunked", f"Content-Length: {len(_INSIDE)}"), _INSIDE),
                (("Transfer-Encoding : chunked", f"Content-Length: {len(_INSIDE)}"), _INSIDE),
                (("Transfer-Encoding:\x0bchunked", f"Content-Length: {len(_INSIDE)}"), _INSIDE),
                (("Transfer-Encoding: identity", _CHUNKED), f"0\r\n\r\n{_INSIDE}"),
                ((f"Content-Length: {len(_INSIDE)}", "Content-Length: 0"), _INSIDE),
                ((f"Content-Length: 0, {len(_INSIDE)}",), _INSIDE),
                (("Content-Length: +0",), _INSIDE),
                (("Content-Length: -1",), _INSIDE),
                ((_CHUNKED,), f"0\n\n{_INSIDE}"),
                ((_CHUNKED,), f"0;x\n\r\n\r\n{_INSIDE}"),
            )
        ],
    ),
    Attack(
        name="HTTP/2",
        title="the same over HTTP/2",
        exchanges=[
            *(Http2(fields=[(":path", path)]) for path in (*WAYS_ROUND, *PARAMETERS, *CONTROLS)),
            *(
                Http2(fields=[(":path", path), field])
                for path in ("/customers/42", "/open/42")
                for field in _FIELDS
            ),
            *(
                Http2(fields=[(":path", path), (":method", "POST"), *more], body=body, trailers=[_EVIL])
                for path in ("/customers/42", "/open/42")
                for body, more in ((b"", ()), (b"abc", ()), (b"abc", (("content-length", "3"),)))
            ),
            Http2(fields=[(":path", "/open/42"), (":path", "/delete/42")]),
            Http2(fields=[(":path", "/open/42 HTTP/1.1\r\nAuthSec-Agent: evil\r\nX: y")]),
            Http2(fields=[(":method", "GET /delete/42 HTTP/1.1\r\nX: "), (":path", "/open/42")]),
            Http2(fields=[(":method", "CONNECT"), (":protocol", "foo"), (":path", "/open/42")], body=_INSIDE.encode()),
            Http2(fields=[(":method", "CONNECT"), (":protocol", "h2c"), (":path", "/open/42")], body=_INSIDE.encode()),
            Http2(fields=[(":path", "http://x/delete/42")]),
        ],
    ),
]  # fmt: skip
