"""Check of one API: does a stock client find the API's authority, given only the URL of the API (RFC 9728)?

No request of this module has a token or a proof.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeGuard
from urllib.parse import urljoin, urlsplit

from urllib3 import exceptions

from authsec import http_client
from authsec.clock import Clock
from authsec.config import AuthSecConfig, is_loopback
from authsec.doctor.advice import advice
from authsec.doctor.metadata import origin_of
from authsec.doctor.report import Finding
from authsec.errors import ConfigError
from authsec.http_answer import MOST_BYTES, Answer, AnswerTooLarge
from authsec.resource_metadata import is_plain_url, well_known_url
from authsec.safe_text import plain
from authsec.strict_json import StrictJsonError, loads
from authsec.terminal import Grade, duration
from authsec.tls_and_proxy import trust_store

_STEP: Final = "api"
_METADATA: Final = "api metadata"
_CLIP: Final = 200
_MOST_NAMES: Final = 5  # the most issuers of the metadata in the report
_LONGEST_CHALLENGE: Final = 4096
# One parameter of a challenge (RFC 9110 §11.2). A quoted string is matched whole, so no text in it is a parameter.
_PARAMETER: Final = re.compile(r'([A-Za-z0-9_*-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3

_AUDIENCE: Final = (
    "The API's operator must set `audience` of the TokenVerifier (verify-server: `--audience`) to the URL at "
    "which agents call the API."
)
_SLASH: Final = (
    "`mcp` 1.30 adds the slash to an issuer without a path: put `BearerAuth` of authsec.mcp around the server."
)
_CHECK_API: Final = "Check that the API runs at this URL, and that this machine can reach the API."
_UNANSWERED: Final[tuple[tuple[type[exceptions.HTTPError], str, str, str], ...]] = (
    (
        exceptions.SSLError,
        "api_tls_failed",
        "no TLS connection to {where} could be made",
        "Check that this port serves https, and that the URL of --api has the correct scheme and port.",
    ),
    (
        exceptions.ProxyError,
        "api_proxy_failed",
        "the proxy of HTTPS_PROXY did not connect to {where}",
        "Check that the proxy runs, or add the API's host to NO_PROXY.",
    ),
    (
        exceptions.NewConnectionError,  # also a host name that cannot be resolved
        "api_unreachable",
        "nothing accepts connections at {where}",
        f"Correct the URL of --api. {_CHECK_API}",
    ),
    (exceptions.TimeoutError, "api_timeout", "{where} did not answer in time", f"Try again. {_CHECK_API}"),
    (
        exceptions.HTTPError,
        "api_connection_lost",
        "the connection to {where} broke before the answer was complete",
        "Try again. If the problem persists, check the network between this machine and the API.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiFindings:
    """Findings about the API. `resource` is its identifier for token requests, or None without valid metadata."""

    findings: tuple[Finding, ...] = ()
    resource: str | None = None


class _Failed(Exception):
    """A check failed, so the later checks of the API cannot run."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.reason)
        self.finding = finding


def check_api(url: str, issuer: str | None, config: AuthSecConfig, clock: Clock) -> ApiFindings:
    """Request `url` without a token, and check the metadata that the refusal names. `issuer` is the agent's issuer."""
    findings: list[Finding] = []
    try:
        _require_usable(url, config)
        answer, took = clock.timed(lambda: _get(_STEP, url, config, clock))
        named = _named_metadata(url, answer)
        fact = f"401 without a token, in {duration(took)}; it names {plain(named, _CLIP)}"
        findings.append(Finding(step=_STEP, facts=(fact,)))
        document = _document(named, config, clock)
    except _Failed as failed:
        findings.append(failed.finding)
        if len(findings) == 1:
            findings.append(Finding.skipped(_METADATA, "the API did not name its metadata"))
        return ApiFindings(findings=tuple(findings))
    wrong = _wrong_resource(document.get("resource"), url, named)
    problems = [*([wrong] if wrong else []), *_wrong_issuer(document, issuer), *_wrong_scopes(document)]
    findings += problems or [Finding(step=_METADATA, facts=_facts(document, issuer))]
    is_usable = wrong is None or wrong.grade is Grade.AMBER
    return ApiFindings(findings=tuple(findings), resource=document["resource"] if is_usable else None)


def _failed(step: str, reason: str, fact: str, remedy: str) -> _Failed:
    return _Failed(_bad(step, reason, fact, remedy))


def _bad(step: str, reason: str, fact: str, remedy: str) -> Finding:
    cleaned = plain(fact, 2 * _CLIP), plain(remedy, 5 * _CLIP)  # both may repeat texts of the API
    return Finding(step=step, grade=Grade.BAD, facts=cleaned[:1], reason=reason, remedy=cleaned[1])


def _require_usable(url: str, config: AuthSecConfig) -> None:
    """Require the rules for AUTHSEC_BASE_URL. An invalid URL may have a password, so the report does not show it."""
    if not is_plain_url(url):
        raise _failed(
            _STEP,
            "api_url_invalid",
            "the URL of --api is not a plain http or https URL",
            "Pass the URL of the API to --api, without user name, password, '?' and '#': "
            "https://crm.example.com/customers.",
        )
    host = str(urlsplit(url).hostname)
    allowed = {name.lower() for name in config.allow_http_hosts}
    if urlsplit(url).scheme == "http" and not is_loopback(host) and host not in allowed:
        raise _failed(
            _STEP,
            "api_plain_http",
            f"plain http to {host}: others on the network could read this agent's tokens",
            "Pass the API's https URL to --api. If the network to this host is trusted, add the host to "
            "AUTHSEC_ALLOW_HTTP_HOSTS.",
        )


def _get(step: str, url: str, config: AuthSecConfig, clock: Clock) -> Answer:
    try:
        trust = trust_store(config.ca_file) if urlsplit(url).scheme == "https" else None
        deadline = clock.monotonic() + config.timeout
        get = partial(http_client.get, url, authorization=None, trust=trust, deadline=deadline, clock=clock)
        return _within(config.timeout, get)
    except ConfigError as error:
        raise _Failed(Finding.failed(step, error, advice(error, config))) from None
    except AnswerTooLarge as error:
        if step == _STEP and error.status < 300:
            raise _open(url, error.status) from None
        raise _failed(
            step,
            "api_answer_too_large",
            f"{url} answers {error.status} with more than {MOST_BYTES} bytes",
            "The API's operator must check which program answers there.",
        ) from None
    except exceptions.HTTPError as error:
        raise _unanswered(step, urlsplit(url).netloc, error) from None


def _within(seconds: float, get: Callable[[], Answer]) -> Answer:
    """Run `get` in a thread, and wait for the answer. Raises `exceptions.TimeoutError`, and the errors of `get`.

    The socket's own timeout starts again with every byte of a header. So a slow API could block the doctor for hours.
    """
    answer: Future[Answer] = Future()

    def run() -> None:
        try:
            answer.set_result(get())
        except Exception as error:  # noqa: BLE001 - raised again where the doctor waits
            answer.set_exception(error)

    threading.Thread(target=run, name="authsec-doctor", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        raise exceptions.TimeoutError from None


def _unanswered(step: str, where: str, error: exceptions.HTTPError) -> _Failed:
    cause = error.args[0] if error.args else None
    if isinstance(error, exceptions.SSLError) and isinstance(cause, ssl.SSLCertVerificationError):
        return _failed(
            step,
            "api_certificate_untrusted",
            f"the certificate of {where} is not trusted: {cause.verify_message}",
            "Set AUTHSEC_CA_FILE to the PEM file of the certificate authority that signed the certificate. If the "
            "names or dates are wrong, the API's operator must replace the certificate.",
        )
    reason, fact, remedy = next(row[1:] for row in _UNANSWERED if isinstance(error, row[0]))
    return _failed(step, reason, fact.format(where=where), remedy)


def _open(url: str, status: int) -> _Failed:
    return _failed(
        _STEP,
        "api_open",
        f"{url} answers {status} without a token",
        "Pass a URL to --api that needs a token. If this URL should need one, the API's operator must add the "
        "verifier's middleware (BearerAuth), or remove the path from `public_paths`.",
    )


def _named_metadata(url: str, answer: Answer) -> str:
    """Return the URL of the metadata in the challenge of a 401 (RFC 9728 §5.1)."""
    if answer.status != 401:
        raise _no_401(url, answer)
    named = _metadata_urls(answer.challenges)
    if not named:
        lack = "its WWW-Authenticate has no resource_metadata" if answer.challenges else "it has no WWW-Authenticate"
        raise _failed(
            _STEP,
            "api_metadata_not_named",
            f"401 without a token, but {lack}",
            f"{_AUDIENCE} `publish_metadata` must not be False (verify-server: no `--no-metadata`). A proxy must not "
            "remove the header WWW-Authenticate.",
        )
    if len(named) > 1:
        raise _failed(
            _STEP,
            "api_metadata_ambiguous",
            f"the challenges of the 401 name several metadata documents: {', '.join(named)}",
            "The API's operator must send one resource_metadata: perhaps a proxy and the API both add a challenge.",
        )
    (found,) = named
    if not is_plain_url(found) or origin_of(found) != origin_of(url):
        raise _failed(
            _STEP,
            "api_metadata_elsewhere",
            f"the 401 names metadata that are not at {urlsplit(url).netloc}: {found}",
            f"Pass the URL to --api at which agents call the API. If {urlsplit(url).netloc} is correct: {_AUDIENCE}",
        )
    return found


def _no_401(url: str, answer: Answer) -> _Failed:
    if answer.status < 300:
        return _open(url, answer.status)
    if answer.status < 400:
        target = _target(url, answer.location or "")
        remedy = "Pass the URL of the API itself to --api, and use this URL in the agent."
        if target and origin_of(target) == origin_of(url):
            remedy = f"Pass {target} to --api, and use this URL in the agent. Many clients do not follow a redirect."
        elif target:
            remedy += " No token follows a redirect to another scheme, host or port."
        fact = f"{url} answers {answer.status}, a redirect to {target or 'another address'}"
        return _failed(_STEP, "api_redirected", fact, remedy)
    remedy = (
        "The API's operator must read the log of the API, and of the proxy in front of the API."
        if answer.status >= 500
        else "Correct the path in the URL of --api. If the URL is correct, the API's operator must check tokens before "
        "all other checks, as the verifier's middleware (BearerAuth) does."
    )
    fact = f"{url} answers {answer.status} without a token; clients need a 401 with a challenge"
    return _failed(_STEP, "api_no_challenge", fact, remedy)


def _target(url: str, location: str) -> str | None:
    """Return the target of a redirect without query and fragment, which may be secret; None if it is no plain URL."""
    try:
        target = urljoin(url, re.split("[?#]", location, maxsplit=1)[0])
    except ValueError:  # not a URL
        return None
    return target if location and is_plain_url(target) else None


def _metadata_urls(challenges: tuple[str, ...]) -> list[str]:
    """Return the different values of `resource_metadata`."""
    found = _PARAMETER.findall(", ".join(challenges)[:_LONGEST_CHALLENGE])
    return list(
        dict.fromkeys(
            re.sub(r"\\(.)", r"\1", quoted) or token
            for name, quoted, token in found
            if name.lower() == "resource_metadata"
        )
    )


def _document(named: str, config: AuthSecConfig, clock: Clock) -> Mapping[str, Any]:
    """Return the metadata: a JSON object with status 200 (RFC 9728 §3.2)."""
    answer = _get(_METADATA, named, config, clock)
    if answer.status != 200:
        raise _failed(
            _METADATA,
            "api_metadata_unreadable",
            f"{named} answers {answer.status}",
            f"The API's operator must let the proxy forward {urlsplit(named).path} to the API, also without a token. "
            "If the API is a mount of another application, that application needs authsec.asgi.MetadataEndpoint.",
        )
    try:
        document = loads(answer.body, max_bytes=MOST_BYTES)
    except StrictJsonError:
        document = None
    kind = answer.content_type.partition(";")[0].strip().lower()
    if not isinstance(document, dict) or kind != "application/json":
        raise _failed(
            _METADATA,
            "api_metadata_unreadable",
            f"{named} has no JSON object of the type application/json",
            "The API's operator must check which program answers there: the metadata come from the API itself.",
        )
    return document


def _wrong_resource(resource: object, url: str, named: str) -> Finding | None:
    """Compare the strings: clients must not normalise them (RFC 9728 §3.3).

    §3.3 requires the URL of the request. A client that is configured with the identifier itself accepts the metadata
    at the identifier's well-known URL. So a prefix of the requested URL is a warning.
    """
    if resource == url:
        return None
    if isinstance(resource, str) and _is_below(url, resource) and named == well_known_url(resource):
        return Finding(
            step=_METADATA,
            grade=Grade.AMBER,
            facts=(f"resource is {plain(resource, _CLIP)}, which is only the beginning of {plain(url, _CLIP)}",),
            reason="api_resource_prefix",
            remedy=(
                f"Configure stock clients with {plain(resource, _CLIP)} as the API's URL. A client that knows only "
                f"{plain(url, _CLIP)} may refuse the metadata (RFC 9728 §3.3)."
            ),
        )
    return _bad(
        _METADATA,
        "api_resource_mismatch",
        f"resource is {resource!r}, and clients require {url!r}",
        f"{_AUDIENCE} The text must be the same, also in the slash at the end. If agents call another URL, pass that "
        "URL to --api.",
    )


def _is_below(url: str, resource: str) -> bool:
    return (
        is_plain_url(resource)
        and origin_of(url) == origin_of(resource)
        and url.startswith(f"{resource.removesuffix('/')}/")
    )


def _wrong_issuer(document: Mapping[str, Any], issuer: str | None) -> Iterator[Finding]:
    """Compare the issuers as strings (RFC 8414 §3.3)."""
    servers = document.get("authorization_servers")
    if not _are_texts(servers):
        fact = "authorization_servers is no list of issuers"
    elif issuer is None or issuer in servers:
        return
    else:
        more = f" and {len(servers) - _MOST_NAMES} more" if len(servers) > _MOST_NAMES else ""
        fact = (
            f"authorization_servers has {', '.join(servers[:_MOST_NAMES])}{more}, and not this agent's issuer {issuer}"
        )
    shown = "the agent's issuer" if issuer is None else issuer
    has_slash = issuer is not None and _are_texts(servers) and f"{issuer}/" in servers
    slash = f" {_SLASH}" if has_slash and not urlsplit(issuer).path else ""
    yield _bad(
        _METADATA,
        "api_issuer_missing",
        fact,
        f"The API's operator must set `issuer` of the TokenVerifier (verify-server: `--issuer`) to {shown}, octet for "
        f"octet.{slash} If the API trusts only another authority, this agent needs the base URL and a client id of "
        "that authority.",
    )


def _wrong_scopes(document: Mapping[str, Any]) -> Iterator[Finding]:
    scopes = document.get("scopes_supported")
    if "scopes_supported" in document and not (_are_texts(scopes) and all(map(_SCOPE.fullmatch, scopes))):
        yield _bad(
            _METADATA,
            "api_scopes_invalid",
            "scopes_supported is no list of scopes without spaces",
            "The API's operator must set `actions` of the middleware to a list of actions: ['customers:read'].",
        )


def _facts(document: Mapping[str, Any], issuer: str | None) -> tuple[str, ...]:
    unknown = "authorization_servers not compared: no authority answered, and AUTHSEC_ISSUER is not set"
    facts = [
        f"resource {document['resource']}",
        f"authorization_servers has this agent's issuer {issuer}" if issuer else unknown,
    ]
    if scopes := document.get("scopes_supported"):
        facts.append(f"scopes_supported {', '.join(scopes)}")
    return tuple(plain(fact, _CLIP) for fact in facts)


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
