"""`authsec doctor --api URL` reads the metadata of an API as a stock client does, given only the API's URL."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecConfig, TokenVerifier, cli
from authsec.asgi import BearerAuth
from authsec.clock import Clock
from authsec.credentials import default_sources
from authsec.doctor.api import ApiFindings, check_api
from authsec.doctor.checks import examine
from authsec.doctor.report import Finding
from authsec.doctor.settings import read_settings
from authsec.http_answer import MOST_BYTES
from authsec.resource_metadata import WELL_KNOWN
from authsec.terminal import Grade
from certificates import authority_with, certificate
from click.testing import CliRunner
from fake_authority import CLIENT_ID, FakeAuthority, Reply, broken_off, drip, hang, refused
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from .fake_keys import UNFOLLOWED, key_set
from .serving_asgi import asgi

PATH = "/customers"
CANARY = "authsec_" + "s3cret" * 8


@pytest.fixture(autouse=True)
def _an_agent(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", authority.base_url)
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", CLIENT_ID)


class LateApp:
    """An application that is known after the start of its server: the audience has the server's port."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.app(scope, receive, send)


@contextmanager
def protected(issuer: str, path: str = "", *, audience: str | None = None, **settings: Any) -> Iterator[str]:
    """The root of an API behind the real middleware. Its audience is the root and `path`, or `audience`."""
    late = LateApp()
    with asgi(late) as root:
        verifier = TokenVerifier(issuer, audience or f"{root}{path}", keys=key_set(), **UNFOLLOWED)
        routes = [Route("/open", lambda _: JSONResponse({}))]
        late.app = BearerAuth(Starlette(routes=routes), verifier=verifier, **settings)
        yield root


def checked(authority: FakeAuthority, url: str, issuer: str | None = "", **settings: Any) -> ApiFindings:
    config = AuthSecConfig(**{"base_url": authority.base_url, "client_id": CLIENT_ID, "timeout": 5.0} | settings)
    return check_api(url, authority.issuer if issuer == "" else issuer, config, Clock())


def the_bad(found: ApiFindings) -> Finding:
    (finding,) = [each for each in found.findings if each.grade is Grade.BAD]
    return finding


class FakeApi:
    """An API on the fake authority's socket, which answers as it is told."""

    def __init__(self, authority: FakeAuthority) -> None:
        self.authority = authority
        self.url = f"{authority.base_url}{PATH}"
        self.metadata_url = f"{authority.base_url}{WELL_KNOWN}{PATH}"
        self.challenge(f'Bearer realm="crm", resource_metadata="{self.metadata_url}"')
        self.publish()

    def challenge(self, value: str) -> None:
        self.answer(Reply(401, b"{}", {"WWW-Authenticate": value} if value else {}))

    def answer(self, reply: Reply) -> None:
        self.authority.documents[PATH] = reply

    def serve(self, reply: Reply) -> None:
        self.authority.documents[f"{WELL_KNOWN}{PATH}"] = reply

    def publish(self, **changes: Any) -> None:
        document = {"resource": self.url, "authorization_servers": [self.authority.issuer], **changes}
        self.serve(Reply(body={name: value for name, value in document.items() if value is not None}))

    def found(self, **settings: Any) -> ApiFindings:
        return checked(self.authority, self.url, **settings)


@pytest.fixture
def api(authority: FakeAuthority) -> FakeApi:
    return FakeApi(authority)


# --- the real middleware -----------------------------------------------------------------------------------------


def test_the_middleware_of_this_package_is_fine(authority: FakeAuthority) -> None:
    with protected(authority.issuer, "/mcp", actions=["customers:read"], scope=["customers:read"]) as root:
        found = checked(authority, f"{root}/mcp")
    first, second = found.findings
    assert (first.grade, second.grade) == (Grade.GOOD, Grade.GOOD)
    assert f"it names {root}{WELL_KNOWN}/mcp" in first.facts[0]
    assert second.facts == (
        f"resource {root}/mcp",
        f"authorization_servers has this agent's issuer {authority.issuer}",
        "scopes_supported customers:read",
    )
    assert found.resource == f"{root}/mcp"


def test_a_url_below_the_resource_is_amber(authority: FakeAuthority) -> None:
    with protected(authority.issuer) as root:
        found = checked(authority, f"{root}/customers/42")
    warning = found.findings[-1]
    assert (warning.grade, warning.reason) == (Grade.AMBER, "api_resource_prefix")
    assert f"Configure stock clients with {root} as the API's URL." in warning.remedy
    assert found.resource == root


def test_a_resource_with_a_slash_at_the_end_is_a_prefix_as_well(api: FakeApi) -> None:
    root = api.authority.base_url
    api.challenge(f'Bearer resource_metadata="{root}{WELL_KNOWN}"')
    document = {"resource": f"{root}/", "authorization_servers": [api.authority.issuer]}
    api.authority.documents[WELL_KNOWN] = Reply(body=document)
    assert api.found().findings[-1].reason == "api_resource_prefix"


def test_an_audience_that_is_no_url_names_no_metadata(authority: FakeAuthority) -> None:
    with protected(authority.issuer, audience="crm") as root:
        found = the_bad(checked(authority, f"{root}/mcp"))
    assert found.reason == "api_metadata_not_named"
    assert "`audience`" in found.remedy
    assert "`publish_metadata`" in found.remedy


def test_an_audience_of_another_host_is_not_requested(authority: FakeAuthority) -> None:
    with protected(authority.issuer, audience="https://crm.example.com") as root:
        found = the_bad(checked(authority, root))
    assert found.reason == "api_metadata_elsewhere"
    assert "`audience`" in found.remedy


def test_a_public_path_is_open(authority: FakeAuthority) -> None:
    with protected(authority.issuer, public_paths=["/open"]) as root:
        found = the_bad(checked(authority, f"{root}/open"))
    assert found.reason == "api_open"
    assert "`public_paths`" in found.remedy


def test_an_api_that_trusts_another_authority(authority: FakeAuthority) -> None:
    with protected("https://other.example.com") as root:
        found = the_bad(checked(authority, root))
    assert found.reason == "api_issuer_missing"
    assert f"`issuer` of the TokenVerifier (verify-server: `--issuer`) to {authority.issuer}" in found.remedy


# --- the URL and the 401 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "crm.example.com",
        "ftp://crm.example.com",
        "https://",
        "https://me:hunter2@crm.example.com",
        "https://crm.example.com/?key=hunter2",
        "https://crm.example.com/#hunter2",
        "https://crm.example.com:99999/",
        "http://[",
        "",
    ],
)
def test_an_invalid_url_is_refused_and_not_shown(authority: FakeAuthority, url: str) -> None:
    found = checked(authority, url)
    assert the_bad(found).reason == "api_url_invalid"
    assert "hunter2" not in str(found)
    assert found.findings[1].grade is Grade.SKIPPED
    assert authority.seen == []


def test_plain_http_needs_loopback_or_an_allowed_host(authority: FakeAuthority) -> None:
    assert the_bad(checked(authority, "http://crm.invalid/")).reason == "api_plain_http"
    found = checked(authority, "http://crm.invalid/", allow_http_hosts=("crm.invalid",))
    assert the_bad(found).reason == "api_unreachable"


def test_an_api_that_does_not_run(authority: FakeAuthority) -> None:
    found = the_bad(checked(authority, "http://127.0.0.1:1/"))
    assert found.reason == "api_unreachable"
    assert "--api" in found.remedy


def test_a_certificate_that_nobody_trusts(authority: FakeAuthority, tmp_path: Path) -> None:
    with authority_with(certificate(tmp_path, "crm.example")) as secure:
        found = the_bad(checked(authority, secure.base_url))
        assert secure.seen == []
    assert found.reason == "api_certificate_untrusted"
    assert "AUTHSEC_CA_FILE" in found.remedy


def test_a_port_without_tls(authority: FakeAuthority) -> None:
    assert the_bad(checked(authority, authority.base_url.replace("http", "https"))).reason == "api_tls_failed"


def test_a_proxy_that_does_not_run(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert the_bad(checked(authority, "https://crm.example.com")).reason == "api_proxy_failed"


def test_a_file_of_certificates_that_cannot_be_read(authority: FakeAuthority) -> None:
    found = the_bad(checked(authority, "https://crm.example.com", ca_file="/nowhere.pem"))
    assert found.reason == "ca_file_invalid"


def test_an_api_that_does_not_answer_in_time(api: FakeApi) -> None:
    dripping = [b"HTTP/1.1 401 No\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 401 No\r\nWWW-Authenticate: "]
    for reply in (hang(api.authority), *(drip(api.authority, beginning) for beginning in dripping)):
        api.answer(reply)
        began = time.monotonic()
        assert the_bad(api.found(timeout=0.3)).reason == "api_timeout"
        assert time.monotonic() - began < 2


def test_an_answer_that_breaks_off(api: FakeApi) -> None:
    api.answer(broken_off())
    assert the_bad(api.found()).reason == "api_connection_lost"


def test_an_answer_that_is_too_large(api: FakeApi) -> None:
    api.answer(Reply(401, b" " * (MOST_BYTES + 1)))
    assert the_bad(api.found()).reason == "api_answer_too_large"
    api.answer(Reply(200, b" " * (MOST_BYTES + 1)))
    assert the_bad(api.found()).reason == "api_open"


def test_a_redirect_is_named_and_not_followed(api: FakeApi) -> None:
    api.answer(Reply(307, b"", {"Location": f"https://elsewhere.example/?code={CANARY}"}))
    found = the_bad(api.found())
    assert found.reason == "api_redirected"
    assert found.facts[0].endswith("a redirect to https://elsewhere.example/")
    assert found.remedy.endswith("No token follows a redirect to another scheme, host or port.")
    assert [seen.path for seen in api.authority.seen] == [PATH]


@pytest.mark.parametrize("location", [f"{{url}}/?code={CANARY}", f"{PATH}/#{CANARY}", "customers/"])
def test_a_redirect_within_the_host_names_the_url_to_use(api: FakeApi, location: str) -> None:
    """Servers add the slash at the end of a mount's path."""
    api.answer(Reply(307, b"", {"Location": location.format(url=api.url)}))
    found = the_bad(api.found())
    assert found.facts[0].endswith(f"a redirect to {api.url}/")
    assert found.remedy.startswith(f"Pass {api.url}/ to --api, and use this URL in the agent.")
    assert "another" not in found.remedy


@pytest.mark.parametrize(
    "location", ["", f"https://user:{CANARY}@elsewhere.example/", f"//[{CANARY}", f"data:{CANARY}"]
)
def test_a_target_that_is_no_plain_url_is_not_shown(api: FakeApi, location: str) -> None:
    api.answer(Reply(302, b"", {"Location": location}))
    assert the_bad(api.found()).facts[0].endswith("a redirect to another address")


@pytest.mark.parametrize(("status", "said"), [(404, "Correct the path"), (403, "BearerAuth"), (503, "log of the API")])
def test_another_status_than_401(api: FakeApi, status: int, said: str) -> None:
    api.answer(Reply(status, b"{}"))
    found = the_bad(api.found())
    assert found.reason == "api_no_challenge"
    assert said in found.remedy


@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        ("", "it has no WWW-Authenticate"),
        ("Bearer", "no resource_metadata"),
        ('Bearer realm="a, resource_metadata=http://127.0.0.1/"', "no resource_metadata"),
    ],
)
def test_a_401_without_the_url_of_the_metadata(api: FakeApi, challenge: str, said: str) -> None:
    api.challenge(challenge)
    found = the_bad(api.found())
    assert found.reason == "api_metadata_not_named"
    assert said in found.facts[0]
    assert "WWW-Authenticate" in found.remedy


def test_other_forms_of_a_challenge_are_read(api: FakeApi) -> None:
    for challenge in (
        f"Bearer resource_metadata={api.metadata_url}",
        f'Basic realm="x", DPoP algs="ES256", Resource_Metadata = "{api.metadata_url}"',
        f'Bearer realm="a\\"b", resource_metadata="{api.metadata_url}", DPoP resource_metadata="{api.metadata_url}"',
    ):
        api.challenge(challenge)
        assert api.found().resource == api.url


def test_challenges_that_name_different_metadata(api: FakeApi) -> None:
    api.challenge(f'Bearer resource_metadata="{api.metadata_url}", DPoP resource_metadata="{api.metadata_url}2"')
    assert the_bad(api.found()).reason == "api_metadata_ambiguous"


@pytest.mark.parametrize("elsewhere", ["http://169.254.169.254/latest", "file:///etc/passwd", "http://[", "/relative"])
def test_metadata_of_another_host_are_not_requested(api: FakeApi, elsewhere: str) -> None:
    api.challenge(f'Bearer resource_metadata="{elsewhere}"')
    assert the_bad(api.found()).reason == "api_metadata_elsewhere"
    assert [seen.path for seen in api.authority.seen] == [PATH]


# --- the document ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(404, b"{}"), "let the proxy forward /.well-known/oauth-protected-resource/customers"),
        (Reply(302, b"", {"Location": "/elsewhere"}), "let the proxy forward"),
        (Reply(200, b"<html>", {"Content-Type": "text/html"}), "which program answers"),
        (Reply(200, b"[]"), "which program answers"),
        (Reply(200, b'{"resource": "a", "resource": "b"}'), "which program answers"),
        (Reply(200, b"{}", {"Content-Type": "text/plain"}), "which program answers"),
    ],
)
def test_metadata_that_cannot_be_read(api: FakeApi, reply: Reply, said: str) -> None:
    api.serve(reply)
    found = the_bad(api.found())
    assert (found.step, found.reason) == ("api metadata", "api_metadata_unreadable")
    assert said in found.remedy


def test_metadata_that_are_too_large_or_late(api: FakeApi) -> None:
    api.serve(Reply(200, b" " * (MOST_BYTES + 1)))
    assert the_bad(api.found()).reason == "api_answer_too_large"
    api.serve(hang(api.authority))
    assert the_bad(api.found(timeout=0.3)).reason == "api_timeout"


@pytest.mark.parametrize(
    "change", [lambda url: f"{url}/", lambda url: url.replace("http", "HTTP"), str.upper, lambda url: url[:-1],
               lambda _: None, lambda url: [url]],
)  # fmt: skip
def test_the_resource_is_compared_octet_for_octet(api: FakeApi, change: Any) -> None:
    api.publish(resource=change(api.url))
    found = api.found()
    assert the_bad(found).reason == "api_resource_mismatch"
    assert "`audience`" in the_bad(found).remedy
    assert found.resource is None


def test_a_prefix_at_another_well_known_url_is_a_mismatch(api: FakeApi) -> None:
    """Otherwise one path of a host could publish the metadata of the whole host (RFC 9728 §3.3)."""
    api.publish(resource=api.authority.base_url)
    assert the_bad(api.found()).reason == "api_resource_mismatch"


@pytest.mark.parametrize(
    "servers",
    [None, [], "text", [1], ["https://other.example"], lambda issuer: [f"{issuer}/"], lambda issuer: [issuer.upper()]],
)
def test_the_issuer_is_compared_octet_for_octet_with_those_of_the_api(api: FakeApi, servers: Any) -> None:
    api.publish(authorization_servers=servers(api.authority.issuer) if callable(servers) else servers)
    found = the_bad(api.found())
    assert found.reason == "api_issuer_missing"
    assert api.authority.issuer in found.remedy
    assert "`mcp` 1.30" not in found.remedy


def test_the_slash_of_an_mcp_server_is_explained(api: FakeApi) -> None:
    api.authority.issuer = api.authority.base_url
    api.publish(authorization_servers=[f"{api.authority.issuer}/"])
    assert "`mcp` 1.30" in the_bad(api.found()).remedy


def test_one_of_several_issuers_is_enough_and_an_unknown_one_is_not_compared(api: FakeApi) -> None:
    api.publish(authorization_servers=["https://other.example", api.authority.issuer])
    assert api.found().findings[-1].grade is Grade.GOOD
    found = api.found(issuer=None).findings[-1]
    assert found.grade is Grade.GOOD
    assert "not compared" in found.facts[1]


@pytest.mark.parametrize("scopes", ["customers:read", [], [1], ["customers:read tickets:read"], ['a"b']])
def test_scopes_that_are_no_list_of_scopes(api: FakeApi, scopes: Any) -> None:
    api.publish(scopes_supported=scopes)
    found = the_bad(api.found())
    assert found.reason == "api_scopes_invalid"
    assert "`actions`" in found.remedy


def test_all_problems_of_a_document_are_reported(api: FakeApi) -> None:
    api.publish(resource="https://other.example", authorization_servers=[], scopes_supported="")
    reasons = [each.reason for each in api.found().findings if each.grade is Grade.BAD]
    assert reasons == ["api_resource_mismatch", "api_issuer_missing", "api_scopes_invalid"]


def test_no_request_has_a_credential_and_no_secret_of_an_api_is_shown(api: FakeApi) -> None:
    api.publish(resource=f"https://x/{CANARY}", authorization_servers=[CANARY, "\x1b[31m"], scopes_supported=[CANARY])
    found = api.found()
    assert "s3cret" not in str(found)
    assert "\x1b" not in str(found)
    api.challenge(f'Bearer resource_metadata="{api.metadata_url}/{CANARY}"')
    assert "s3cret" not in str(api.found())
    assert all({"authorization", "dpop"}.isdisjoint(map(str.lower, seen.headers)) for seen in api.authority.seen)


# --- the whole doctor --------------------------------------------------------------------------------------------


def doctor(*options: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(cli.commands, ["doctor", "--json", *options])
    return result.exit_code, json.loads(result.stdout)


def steps(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {step["step"]: step for step in told["steps"]}


def test_the_token_is_requested_for_the_resource_of_the_api(authority: FakeAuthority) -> None:
    with protected(authority.issuer, "/mcp") as root:
        status, told = doctor("--api", f"{root}/mcp")
    assert (status, steps(told)["api metadata"]["grade"]) == (0, "ok")
    assert [seen.query["resource"] for seen in authority.token_requests] == [[f"{root}/mcp"]]


def test_an_option_names_another_resource(api: FakeApi) -> None:
    doctor("--api", api.url, "--resource", "crm")
    assert [seen.query["resource"] for seen in api.authority.token_requests] == [["crm"]]


def test_a_resource_that_is_not_valid_is_not_requested(api: FakeApi) -> None:
    api.publish(resource="https://vault.example")
    status, told = doctor("--api", api.url)
    assert status == 1
    assert "`audience`" in told["next"]
    assert ["resource" in seen.query for seen in api.authority.token_requests] == [False]


def test_an_api_that_is_not_delegated(api: FakeApi) -> None:
    api.authority.next_answers = [refused(400, "invalid_target", "No.")]
    status, told = doctor("--api", api.url)
    assert (status, steps(told)["token"]["reason"]) == (1, "invalid_target")
    assert f"delegate actions of {api.url}" in told["next"]
    assert f"--agent {CLIENT_ID}" in told["next"]


def test_an_api_is_checked_also_if_the_authority_is_unreachable(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AUTHSEC_ISSUER", "https://other.example")
    findings = {each.step: each for each in examine(read_settings(), default_sources(), Clock(), api=api.url)}
    assert findings["api metadata"].reason == "api_issuer_missing"
    monkeypatch.setenv("AUTHSEC_BASE_URL", "crm")
    findings = {each.step: each for each in examine(read_settings(), default_sources(), Clock(), api=api.url)}
    assert findings["api"].grade is Grade.SKIPPED
