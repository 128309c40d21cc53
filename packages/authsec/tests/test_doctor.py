"""`authsec doctor`: what it says of a healthy agent, and of each thing that can stand between it and a token."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import distributions
from pathlib import Path

import pytest
from authsec import AuthSecConfig, InvalidResponse, cli, refusals
from authsec.clock import Clock
from authsec.credentials import CredentialSource, GitHubActions, KeyFile, ProjectedToken, TokenFile, default_sources
from authsec.credentials.key_file import with_note
from authsec.doctor.advice import OF_REFUSALS, advice
from authsec.doctor.checks import examine
from authsec.doctor.packages import check_packages
from authsec.doctor.report import Finding, next_line
from authsec.doctor.settings import OF_APIS, READ, read_settings
from authsec.jose import PrivateKey
from authsec.keygen import write_key_pair
from authsec.terminal import Grade
from click.testing import CliRunner, Result
from fake_authority import CLIENT_ID, FakeAuthority, Reply, refused
from workload_tokens import CLUSTER, ProjectedVolume, github_token, service_account_token

METADATA = "/authsec/.well-known/oauth-authorization-server"
TIME = re.compile(r"\d[\d.]* m?s\b")


@pytest.fixture(autouse=True)
def _an_agent(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", authority.base_url)
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", CLIENT_ID)


@pytest.fixture
def key_file(tmp_path: Path, authority: FakeAuthority) -> Path:
    path = tmp_path / "agent.pem"
    write_key_pair(path, "ed25519")
    authority.agent_key = PrivateKey.from_pem(path.read_bytes()).public
    return path


@pytest.fixture
def volume(tmp_path: Path, authority: FakeAuthority) -> ProjectedVolume:
    made = ProjectedVolume(tmp_path / "authsec")
    made.write(service_account_token(authority.issuer))
    return made


def doctor(*options: str) -> Result:
    return CliRunner().invoke(cli.commands, ["doctor", *options])


def examined(*sources: CredentialSource, clock: Clock | None = None) -> dict[str, Finding]:
    """The findings by their step; of two for one step, the later."""
    findings = examine(read_settings(), sources or default_sources(), clock or Clock())
    return {finding.step: finding for finding in findings}


def said(result: Result) -> str:
    """What was printed, as one line."""
    return " ".join(result.stdout.split())


# --- a healthy one -----------------------------------------------------------------------------------------------


def test_all_is_well(authority: FakeAuthority, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", str(key_file))
    result = doctor()
    assert result.exit_code == 0
    text = TIME.sub("<time>", re.sub(r"(?s)  ✓ packages .*?(?=  ✓)", "", result.stdout))
    assert authority.agent_key is not None
    assert text == (
        f"""
    authority           {authority.base_url}
    agent               {CLIENT_ID}

  ✓ settings            AUTHSEC_BASE_URL and AUTHSEC_AGENT_CLIENT_ID have a valid form
  ✓ connection          127.0.0.1:{authority.port} accepted the connection in <time>
  ✓ authority           issuer {authority.issuer}, answered in <time>
  ✓ clock               agrees with the authority's, as far as can be measured
  ✓ oauth               stock clients get tokens at {authority.base_url}/oauth/token, by private_key_jwt
  ✓ proof               AUTHSEC_WORKLOAD_TOKEN_FILE (not set)
                        used: key file {key_file} (AUTHSEC_AGENT_KEY_FILE)
                        key          {authority.agent_key.thumbprint()}
                        made for     {authority.issuer}
  ✓ token               received in <time>
  ✓ token says          verified with the authority's published key
                        agent        spiffe://example.org/agent/{CLIENT_ID}
                        audience     authsec-api
                        actions      customers:read
                        roles        support
                        delegations  7a9b
                        attestation  key
                        lives        1 h 0 min

  Next: Nothing: this agent can get tokens.

"""
    )


def test_support_gets_one_json_document(authority: FakeAuthority) -> None:
    authority.next_answers = [refused(410, "delegation_ended", "Ask for a new one.")]
    result = doctor("--json", "--scope", "customers:read", "--resource", "crm")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["healthy"], told["authority"], told["agent"]) == (False, authority.base_url, CLIENT_ID)
    token = told["steps"][-1]
    assert token["step"] == "token"
    assert (token["grade"], token["reason"], token["status"]) == ("failed", "delegation_ended", 410)
    assert (token["request_id"], token["retryable"]) == ("req-7", False)
    assert told["next"] == token["remedy"]
    assert [(seen.query["scope"], seen.query["resource"]) for seen in authority.token_requests] == [
        (["customers:read"], ["crm"])
    ]


def test_it_runs_as_a_module_whatever_has_its_name(authority: FakeAuthority) -> None:
    """Another project's package brings a script `authsec` of its own."""
    environment = {"AUTHSEC_BASE_URL": authority.base_url, "AUTHSEC_AGENT_CLIENT_ID": CLIENT_ID}
    command = [sys.executable, "-m", "authsec", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["healthy"] is True


def test_what_failed_comes_before_what_deserves_a_look() -> None:
    looks, failed, later = (
        Finding(step=grade, grade=grade, remedy=f"{number}")
        for number, grade in enumerate([Grade.AMBER, Grade.BAD, Grade.BAD])
    )
    assert next_line([looks, failed, later]) == "1"
    assert next_line([Finding(step="x", grade=Grade.BAD), looks]) == "0"


def test_an_unattested_agent_works_and_is_said_to_be_one() -> None:
    result = doctor()
    assert result.exit_code == 0
    assert "UNATTESTED: anybody who knows the client_id can get this token" in result.stdout
    assert "Next: Register a proof for this agent" in result.stdout


def test_without_the_extra_nothing_is_verified_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "authsec.verifier", None)
    told = examined()["token says"]
    assert told.grade is Grade.GOOD
    assert told.facts[:2] == ("audience     authsec-api", "actions      customers:read")
    assert "not verified here" in told.facts[-1]


# --- settings and packages ---------------------------------------------------------------------------------------


def test_all_that_is_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTHSEC_BASE_URL")
    monkeypatch.delenv("AUTHSEC_AGENT_CLIENT_ID")
    result = doctor()
    assert result.exit_code == 1
    assert result.stdout.count('export AUTHSEC_BASE_URL="https://YOUR-AUTHORITY"') == 1
    assert result.stdout.count('export AUTHSEC_AGENT_CLIENT_ID="YOUR-CLIENT-ID"') == 1
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("  - ")] == [
        "connection", "authority", "clock", "oauth", "proof", "token",
    ]  # fmt: skip
    assert "Next: Set AUTHSEC_BASE_URL" in result.stdout


def test_an_agent_without_a_name_hides_neither_server_nor_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", "customer-support")
    found = examined(clock=Clock(wall=lambda: time.time() + 60))
    assert (found["settings"].reason, found["clock"].grade) == ("client_id_invalid", Grade.BAD)
    assert found["authority"].grade is Grade.GOOD
    assert found["token"].grade is Grade.SKIPPED


def test_a_misspelt_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTHSEC_AGENT_CLIENT_ID")
    monkeypatch.setenv("AUTHSEC_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("AUTHSEC_SERVER_BASE_URL", "of the server, where others are read")
    monkeypatch.setenv("AUTHSEC_COLOUR_OF_OUR_OWN_BIKESHED", "of this company")
    result = doctor()
    assert "is set, but nothing reads it" in result.stdout
    assert said(result).endswith("Next: Rename the variable AUTHSEC_CLIENT_ID to AUTHSEC_AGENT_CLIENT_ID.")
    assert "BIKESHED" not in result.stdout
    assert "SERVER" not in result.stdout


def test_each_remedy_is_said_once_and_fits_the_address_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTHSEC_AGENT_CLIENT_ID")
    monkeypatch.setenv("AUTHSEC_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("AUTHSEC_URL", "http://192.0.2.1:7468")
    monkeypatch.setenv("AUTHSEC_BASE_URL", "http://192.0.2.1:7468")
    printed = doctor().stdout
    assert printed.count("Rename the variable AUTHSEC_CLIENT_ID") == printed.count("Unset AUTHSEC_URL") == 1
    use_https = 'Next: If the authority serves https, use it:\n        export AUTHSEC_BASE_URL="https://192.0.2.1:7468"'
    assert use_https in printed
    monkeypatch.setenv("AUTHSEC_BASE_URL", "ftp://authsec.example.com")
    assert "Next: Correct AUTHSEC_BASE_URL;" in doctor().stdout


@pytest.mark.parametrize(
    ("unread", "meant"),
    [
        ("AUTHSEC_CLIENT_ID", "AUTHSEC_AGENT_CLIENT_ID"),
        ("AUTHSEC_CLIENTID", "AUTHSEC_AGENT_CLIENT_ID"),
        ("AUTHSEC_URL", "AUTHSEC_BASE_URL"),
        ("AUTHSEC_BASEURL", "AUTHSEC_BASE_URL"),
        ("AUTHSEC_TOKEN_FILE", "AUTHSEC_WORKLOAD_TOKEN_FILE"),
        ("AUTHSEC_SERVICE_PORT", None),  # what Kubernetes sets for a Service called authsec
        ("AUTHSEC_PORT_80_TCP_ADDR", None),
    ],
)
def test_what_is_set_and_unread_is_held_against_what_is_set_too(
    unread: str, meant: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(unread, "something")
    remedies = [finding.remedy for finding in read_settings().findings if finding.reason == "misspelt"]
    if meant is None:
        assert remedies == []
    elif meant in os.environ:
        assert remedies == [f"Unset {unread}, which nothing reads. {meant} is also set, and is used."]
    else:
        assert remedies == [f"Rename the variable {unread} to {meant}."]


@pytest.mark.parametrize("elsewhere", ["127.0.0.1:1", "http://127.0.0.1:1", ""])
def test_an_address_that_is_wrong_does_not_make_a_good_proof_a_broken_one(
    elsewhere: str, volume: ProjectedVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that nobody listens on, and what cannot be an address: the proof says where the authority is."""
    volume.write(service_account_token("http://127.0.0.1:7555"))
    monkeypatch.setenv("AUTHSEC_BASE_URL", elsewhere)
    findings = [*examine(read_settings(), [ProjectedToken(path=volume.path)], Clock())]
    proof = {finding.step: finding for finding in findings}["proof"]
    assert (proof.grade, proof.reason, proof.error) == (Grade.AMBER, "made_for_another", None)
    assert next_line(findings) == (
        "Your proof is for http://127.0.0.1:7555. Check AUTHSEC_BASE_URL. "
        "If http://127.0.0.1:7555 is your authority, set:\n"
        '    export AUTHSEC_BASE_URL="http://127.0.0.1:7555"'
    )


def test_an_address_without_its_scheme(
    key_file: Path, volume: ProjectedVolume, authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", f"127.0.0.1:{authority.port}")
    volume.write(service_account_token(authority.base_url))
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", str(key_file))
    found = examined(ProjectedToken(path=volume.path))
    assert "lacks its scheme" in str(found["settings"].error)
    assert found["settings"].remedy == (
        f'Put the scheme before the address in AUTHSEC_BASE_URL:\n    export AUTHSEC_BASE_URL="{authority.base_url}"'
    )
    assert (found["proof"].grade, found["token"].grade) == (Grade.GOOD, Grade.SKIPPED)
    monkeypatch.setenv("AUTHSEC_BASE_URL", "authsec.example.com:hunter2@")
    found = examined()
    assert f"used: key file {key_file} (AUTHSEC_AGENT_KEY_FILE)" in found["proof"].facts
    assert "made for     <the authority's issuer>" in found["proof"].facts
    assert authority.seen == []


def test_every_variable_that_is_read_is_known() -> None:
    """Else the doctor would call one of them misspelt."""
    sources = "".join(file.read_text("utf-8") for file in Path(cli.__file__).parent.rglob("*.py"))
    named = re.findall(r"\bAUTHSEC_[A-Z_]*[A-Z]\b", sources)
    assert {name for name in named if not name.startswith("AUTHSEC_SERVER_")} <= {*READ, *OF_APIS}


def test_what_apis_read_is_not_taken_for_a_misspelling(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OF_APIS, "AUTHSEC_VERIFY_ISSUER", "AUTHSEC_VERIFY_CA_FILE"):
        monkeypatch.setenv(name, "x")
    told = "".join(fact for finding in read_settings().findings for fact in finding.facts)
    assert not any(name in told for name in (*OF_APIS, "AUTHSEC_VERIFY_"))


def test_plain_http_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", "http://authority.invalid:8080")
    assert "settings" in {finding.step for finding in read_settings().findings if finding.grade is Grade.BAD}
    monkeypatch.setenv("AUTHSEC_ALLOW_HTTP_HOSTS", "authority.invalid")
    (amber,) = (finding for finding in read_settings().findings if finding.grade is Grade.AMBER)
    assert "others on the network can read" in amber.facts[0]
    assert "https://authority.invalid:8080" in amber.remedy


def installed(folder: Path, name: str, version: str, *metadata: str, scripts: str = "") -> None:
    made = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("\n".join([f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}", *metadata]))
    if scripts:
        (made / "entry_points.txt").write_text(f"[console_scripts]\nauthsec = {scripts}\n")


def test_packages_of_others_under_names_like_ours(tmp_path: Path) -> None:
    """As they are on the public index."""
    installed(tmp_path, "authsec", "0.1.0", "Requires-Dist: click", scripts="authsec.cli:main")
    installed(tmp_path, "authsec-demo", "0.1.0", "Requires-Dist: authsec[verify]")
    installed(tmp_path, "authsec-autogen", "0.1.0", "Requires-Dist: authsec-langchain-sdk>=0.1.1")
    installed(tmp_path, "authsec_sdk", "4.7.3", "Requires-Dist: aiohttp", scripts="authsec_sdk.cli:main")
    whole, *strangers = check_packages(distributions(path=[str(tmp_path)]))
    assert whole.facts[1] == "authsec 0.1.0, authsec-demo 0.1.0"
    by_grade = {finding.grade: finding for finding in strangers}
    red, amber = by_grade[Grade.BAD], by_grade[Grade.AMBER]
    assert len(strangers) == 2
    assert red.facts[0].startswith("authsec-autogen 0.1.0 is from another project: it sends no proof")
    assert red.remedy.splitlines()[1:] == [
        "    pip uninstall authsec-autogen",
        "    pip install ./packages/authsec ./packages/authsec-autogen",
    ]
    assert "authsec-sdk 4.7.3 is from another project" in amber.facts[0]
    assert "`python -m authsec` always runs the script of AuthSec" in amber.facts[1]
    assert "pip install" not in amber.remedy


def test_our_own_packages_are_ours() -> None:
    assert [finding.grade for finding in check_packages()] == [Grade.GOOD]


# --- who answers, and what time it is there ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "grade", "said"),
    [
        (40, Grade.BAD, r"about (39|40|41)\.0 s ahead of the authority's"),
        (-40, Grade.BAD, r"about (39|40|41)\.0 s behind the authority's"),
        (-8, Grade.AMBER, r"about [789]\.0 s behind"),
        (3, Grade.GOOD, "agrees with the authority's"),
        (-90_000, Grade.BAD, r"about 2[45] h \d+ min behind"),
    ],
)
def test_the_clock(seconds: int, grade: Grade, said: str) -> None:
    found = examined(clock=Clock(wall=lambda: time.time() + seconds))["clock"]
    assert found.grade is grade
    assert re.match(said, found.facts[0])
    assert bool(found.remedy) is (grade is not Grade.GOOD)


def test_an_answer_without_the_time(authority: FakeAuthority) -> None:
    authority.documents[METADATA] = Reply(body={"issuer": authority.issuer}, headers={"Date": "now"})
    assert examined()["clock"].grade is Grade.SKIPPED


def test_a_broken_proof_hides_nothing_else(authority: FakeAuthority, tmp_path: Path) -> None:
    path = tmp_path / "agent.pem"
    path.write_text("no key")
    path.chmod(0o644)
    found = examined(KeyFile(path), clock=Clock(wall=lambda: time.time() + 40))
    assert found["proof"].reason == "credential_broken"
    assert found["clock"].grade is Grade.BAD
    assert found["token"].grade is Grade.SKIPPED
    assert authority.token_requests == []
    assert next_line([found["proof"]]).endswith(f"\n    chmod 600 {path}")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(200, b"<html>", {"Content-Type": "text/html"}), "invalid_response"),
        (Reply(301, headers={"Location": "https://elsewhere.example/"}), "redirected"),
        (refused(421, "host_not_allowed"), "host_not_allowed"),
        (Reply(200, {"issuer": "no address"}), "invalid_response"),
    ],
)
def test_something_else_answers(reply: Reply, reason: str, authority: FakeAuthority) -> None:
    authority.documents[METADATA] = reply
    found = examined()
    assert (found["authority"].reason, found["authority"].grade) == (reason, Grade.BAD)
    assert "AUTHSEC_BASE_URL" in found["authority"].remedy
    assert (found["clock"].grade, found["token"].grade) == (Grade.SKIPPED, Grade.SKIPPED)


@pytest.mark.parametrize("appended", ["/authsec", "/console"])
def test_an_address_with_more_than_the_root(
    appended: str, authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a page of the documentation, or from the browser."""
    authority.documents[f"{appended}{METADATA}"] = refused(404, "not_found")
    monkeypatch.setenv("AUTHSEC_BASE_URL", f"{authority.base_url}{appended}/")
    remedy = examined()["authority"].remedy
    assert remedy.startswith(f"Remove {appended} and everything after it")
    assert remedy.endswith(f'    export AUTHSEC_BASE_URL="{authority.base_url}"')


def test_an_address_without_more_is_another_ones() -> None:
    named_so = AuthSecConfig(base_url="https://authsec.example.com", client_id=CLIENT_ID)
    assert advice(InvalidResponse("No.", reason="invalid_response"), named_so).startswith("Correct AUTHSEC_BASE_URL")


def test_an_authority_under_another_name(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.issuer = "https://authsec.example.com"
    amber = examined()["authority"]
    assert (amber.grade, amber.reason) == (Grade.AMBER, "issuer_not_pinned")
    assert amber.remedy.endswith('export AUTHSEC_ISSUER="https://authsec.example.com"')
    monkeypatch.setenv("AUTHSEC_ISSUER", authority.issuer)
    assert examined()["authority"].grade is Grade.GOOD
    monkeypatch.setenv("AUTHSEC_ISSUER", "https://other.example.com")
    red = examined()["authority"]
    assert (red.grade, red.reason) == (Grade.BAD, "issuer_mismatch")


# --- proofs ------------------------------------------------------------------------------------------------------


def test_a_pod_with_its_default_token_only_is_shown_the_volume(authority: FakeAuthority, tmp_path: Path) -> None:
    automounted = ProjectedVolume(tmp_path / "kubernetes.io")
    automounted.write(service_account_token(CLUSTER))
    authority.next_answers = [refused(401, "attestation_required")]
    found = examined(ProjectedToken(path=tmp_path / "none", automounted=automounted.path))
    assert "was found but not sent" in found["proof"].facts[1]
    assert f'audience: "{authority.issuer}"' in next_line([*found.values()])
    assert str(found["token"].error).endswith(
        "requires this agent to authenticate. (request req-7) Set AUTHSEC_AGENT_KEY_FILE to the file of the "
        "agent's registered key. In a cluster, mount the volume on its Connect tab. On a laptop, run `authsec "
        "enrol`. "
        "This machine has no proof (the SDK looked for: what is listed above). Retrying will not help."
    )


def test_what_a_pod_says_of_itself_can_be_compared(volume: ProjectedVolume, authority: FakeAuthority) -> None:
    found = examined(ProjectedToken(path=volume.path))["proof"]
    assert found.grade is Grade.GOOD
    for line in (
        f"issuer        {CLUSTER}",
        f"made for      {authority.issuer}",
        "k8s:ns        production",
        "k8s:sa        customer-support-sa",
        "k8s:pod-name  customer-support-5d9c",
        "k8s:node-name node-1",
        "expires       in 1 h 0 min",
    ):
        assert line in found.facts


def test_a_job_says_of_what_it_is_one(tmp_path: Path, authority: FakeAuthority) -> None:
    (tmp_path / "token").write_text(github_token(authority.issuer))
    facts = examined(TokenFile(tmp_path / "token"))["proof"].facts
    assert "repository   octo-org/octo-repo" in facts
    assert "environment  prod" in facts


def test_an_expired_token(volume: ProjectedVolume, authority: FakeAuthority) -> None:
    volume.write(service_account_token(authority.issuer, exp=int(time.time()) - 720))
    found = examined(ProjectedToken(path=volume.path))["proof"]
    assert (found.grade, found.reason) == (Grade.AMBER, "proof_expired")
    assert re.fullmatch(r"EXPIRED 12 min \d s ago, by this machine's clock", found.facts[-1])
    assert "clock" not in found.remedy, "which agrees"


def test_a_clock_that_is_minutes_off_comes_before_all_else_that_may_be_wrong(
    key_file: Path, volume: ProjectedVolume, authority: FakeAuthority
) -> None:
    key_file.write_bytes(with_note(key_file.read_bytes(), datetime.now(UTC) + timedelta(hours=8)))
    wrong = Clock(wall=lambda: time.time() + 300)
    authority.next_answers = [refused(401, "attestation_invalid", "What would satisfy it.")]
    text = str(examined(KeyFile(key_file), clock=wrong)["token"].error)
    assert re.search(r"This machine's clock is 5 min ahead of the authority's.* This machine was enrolled until", text)
    volume.write(service_account_token(authority.issuer, exp=int(time.time()) - 720))
    authority.next_answers = [refused(401, "attestation_invalid")]
    text = str(examined(ProjectedToken(path=volume.path))["token"].error)
    assert "expired 12 min ago: check why" in text
    assert "machine's clock is" not in text


def test_another_workload_is_asked_nothing_about_its_proof(volume: ProjectedVolume, authority: FakeAuthority) -> None:
    """It is valid."""
    authority.next_answers = [refused(403, "selectors_mismatch", "The proof is valid.")]
    text = str(examined(ProjectedToken(path=volume.path))["token"].error)
    assert text.endswith(
        f"The proof came from: token file {volume.path} (the pod's projected volume). Retrying will not help."
    )


def test_what_to_do_next_is_said_before_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", "customer-support")
    result = said(doctor())
    assert result.index("Next: Correct AUTHSEC_AGENT_CLIENT_ID") < result.index("Also: Unset AUTHSEC_CLIENT_ID")


def test_a_key_that_was_enrolled_for_some_hours(key_file: Path, authority: FakeAuthority) -> None:
    """The last hour of a laptop, and the first one after."""
    now = datetime.now(UTC)
    pem = key_file.read_bytes()
    key_file.write_bytes(with_note(pem, now + timedelta(hours=1)))
    assert re.fullmatch(
        "enrolled     for (59 min .*|1 h 0 min) from now", examined(KeyFile(key_file))["proof"].facts[-1]
    )
    key_file.write_bytes(with_note(pem, now - timedelta(hours=1)))
    authority.next_answers = [refused(401, "attestation_invalid")]
    found = examined(KeyFile(key_file))
    assert (found["proof"].reason, found["proof"].grade) == ("proof_expired", Grade.AMBER)
    assert found["token"].remedy.endswith("then run `authsec enrol`.")


def test_a_token_for_somebody_else(volume: ProjectedVolume, authority: FakeAuthority) -> None:
    volume.write(service_account_token("https://vault.example"))
    found = examined(ProjectedToken(path=volume.path))["proof"]
    assert found.grade is Grade.BAD
    assert (
        "has the audience https://vault.example, so this authority would refuse the token. "
        "The token must have the audience "
        f"{authority.issuer}"
    ) in (str(found.error))
    assert "If AUTHSEC_BASE_URL is the wrong authority, correct AUTHSEC_BASE_URL instead." in str(found.error)
    assert found.remedy.startswith(
        "Your proof is for https://vault.example. If https://vault.example is not your authority, correct"
    )
    for no_authority in ("https://kubernetes.default.svc", "https://a.example/$(touch x)", "vault"):
        volume.write(service_account_token(no_authority))
        assert "AUTHSEC_BASE_URL" not in examined(ProjectedToken(path=volume.path))["proof"].remedy


def test_a_forgotten_variable_stands_before_what_was_meant(key_file: Path, volume: ProjectedVolume) -> None:
    facts = examined(KeyFile(key_file), ProjectedToken(path=volume.path), TokenFile("/no/such/file"))["proof"].facts
    assert facts[0] == f"used: key file {key_file} (AuthSecClient(credential=…))"
    assert (
        facts[-2]
        == f"not used, because another proof comes first: token file {volume.path} (the pod's projected volume)"
    )
    assert facts[-1].startswith("not used, because another proof comes first: broken: There is no file /no/such/file")


def test_a_proof_is_looked_for_where_nobody_can_be_reached(
    volume: ProjectedVolume, authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", "https://no-such-host.invalid")
    volume.write(service_account_token("https://no-such-host.invalid"))
    found = examined(ProjectedToken(path=volume.path))
    assert (found["name"].reason, found["proof"].grade) == ("unknown_host", Grade.GOOD)
    assert "k8s:ns        production" in found["proof"].facts


def test_no_token_is_made_for_a_name_that_only_the_server_gives_itself(
    authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor does not have made what the agent would not; see `authsec.authority`."""
    authority.issuer = "https://vault.example"
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{authority.base_url}/idtoken")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "asks")
    found = examined(GitHubActions())
    assert (found["proof"].reason, found["token"].grade) == ("issuer_not_pinned", Grade.SKIPPED)
    assert found["proof"].remedy.endswith('export AUTHSEC_ISSUER="https://vault.example"')
    assert not any("idtoken" in seen.path for seen in authority.seen)


# --- what the authority says --------------------------------------------------------------------------------------

STATUSES: Mapping[str, int] = {
    "attestation_required": 401,
    "attestation_invalid": 401,
    "selectors_mismatch": 403,
    "client_not_found": 404,
    "delegation_ended": 410,
    "rate_limited": 429,
    "unavailable": 503,
}


def test_there_is_advice_for_every_reason_of_the_endpoint() -> None:
    assert set(OF_REFUSALS) == set(refusals._SENTENCES)


@pytest.mark.parametrize("reason", OF_REFUSALS)
def test_each_refusal_says_who_does_what(reason: str, authority: FakeAuthority) -> None:
    authority.next_answers = [refused(STATUSES.get(reason, 400), reason, "What would satisfy it.")]
    result = doctor()
    assert result.exit_code == 1
    assert re.search(rf"✗ token +{reason}\n", result.stdout)
    assert "request id  req-7" in result.stdout
    assert ("What would satisfy it." in said(result)) is (reason != "attestation_required")
    line = OF_REFUSALS[reason].replace("{agent}", CLIENT_ID).replace("{request}", "req-7")
    assert said(result).endswith(f"Next: {line}")


def test_a_scope_that_is_none_is_not_even_asked_for(authority: FakeAuthority) -> None:
    result = doctor("--scope", "everything")
    assert result.exit_code == 1
    assert "✗ token               invalid_scope" in result.stdout
    assert authority.token_requests == []


def test_a_token_that_does_not_verify(authority: FakeAuthority) -> None:
    other = PrivateKey.generate_ec()
    authority.documents["/authsec/.well-known/jwks.json"] = Reply(
        body={"keys": [{**other.public.to_jwk(), "kid": "k1"}]}
    )
    result = doctor()
    assert result.exit_code == 1
    assert "✓ token " in result.stdout
    assert "✗ signature " in result.stdout
    assert "HTTP" not in result.stdout, "it was found here"
    assert "AUTHSEC_ISSUER" not in result.stdout
