"""The settings in the environment: the authority's address, the agent's id, and misspelt variables."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from authsec.config import AuthSecConfig, export_line, is_loopback, with_scheme
from authsec.doctor.report import Finding
from authsec.errors import ConfigError
from authsec.safe_text import plain
from authsec.terminal import Grade

READ: Final = (
    "AUTHSEC_ADMIN_KEY", "AUTHSEC_AGENT_CLIENT_ID", "AUTHSEC_AGENT_KEY_FILE", "AUTHSEC_AGENT_SECRET_FILE",
    "AUTHSEC_ALLOW_HTTP_HOSTS", "AUTHSEC_BASE_URL", "AUTHSEC_CA_FILE", "AUTHSEC_DPOP", "AUTHSEC_ISSUER",
    "AUTHSEC_PROOF_AUDIENCE", "AUTHSEC_SPIFFE_ID", "AUTHSEC_WORKLOAD_TOKEN_FILE",
)  # fmt: skip
# AUTHSEC_VERIFY_… are the options of verify-server.
OF_APIS: Final = ("AUTHSEC_API_CREDENTIAL", "AUTHSEC_REVOCATIONS_FILE", "AUTHSEC_VERIFY")
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"  # for checks of the server when the agent's id is unknown
_SOMEWHERE: Final = "https://authsec.example.com"
_PREFIX: Final = "AUTHSEC_"  # the prefix of all variables
_ALIKE: Final = 0.66  # least similarity of two names; a lower value would match unrelated names


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings, and the findings about them. `config` is None if the authority's address cannot be used.

    If `config` is None but the agent's id can be used, `assumed` is the configuration for the proof search. If
    `names_agent` is False, the id in `config` is a placeholder that belongs to no agent.
    """

    findings: tuple[Finding, ...]
    config: AuthSecConfig | None
    names_agent: bool
    assumed: AuthSecConfig | None = None

    @property
    def subject(self) -> dict[str, str]:
        """The authority and the agent for the heading of the report."""
        authority = self.config.base_url if self.config else "not known"
        agent = self.config.client_id if self.config and self.names_agent else "not known"
        return {"authority": authority, "agent": agent}


def read_settings() -> Settings:
    """Read the agent's settings from the environment, and report all problems together."""
    misspelt = _misspelt()
    try:
        config = AuthSecConfig.from_env()
    except ConfigError as error:
        return _broken(error, misspelt)
    findings = [Finding(step="settings", facts=_facts(config)), *_nobody_reads(misspelt), *_plain_http(config)]
    return Settings(findings=tuple(findings), config=config, names_agent=True)


def _broken(error: ConfigError, misspelt: Mapping[str, str]) -> Settings:
    """Return the settings and findings for an environment with an invalid address or id.

    If both are invalid, both are reported. If only the id is invalid, the authority can still be checked.
    """
    if error.reason.startswith("client_id"):
        config, errors = AuthSecConfig.from_env(client_id=_NOBODY), [error]
    else:
        config, errors = None, [_wrong_address() or error, *_wrong_id()]
    assumed = None if config or len(errors) > 1 else _assumed()
    findings = [Finding.failed("settings", each, _remedy(each, misspelt)) for each in errors]
    findings += [*_nobody_reads(misspelt, {each.remedy for each in findings}), *(_plain_http(config) if config else [])]
    return Settings(findings=tuple(findings), config=config, names_agent=False, assumed=assumed)


def _wrong_address() -> ConfigError | None:
    """Return the error of the authority's address. The agent's id is not checked.

    If the address and the id are both missing, each of them gets its own finding.
    """
    try:
        AuthSecConfig.from_env(client_id=_NOBODY)
    except ConfigError as error:
        return error
    return None


def _assumed() -> AuthSecConfig:
    """Return a configuration with an assumed address for the authority.

    The doctor sends no request to the assumed address, and sends no proof that is made for it.
    """
    meant = with_scheme(_base_url())
    if meant is not None:
        try:
            return AuthSecConfig.from_env(base_url=meant)
        except ConfigError:
            pass  # the address lacks more than the scheme
    unknown = AuthSecConfig.from_env(base_url=_SOMEWHERE)
    return replace(unknown, issuer=unknown.issuer or "<the authority's issuer>")


def _base_url() -> str:
    return os.environ.get("AUTHSEC_BASE_URL", "").strip()


def _wrong_id() -> list[ConfigError]:
    try:
        AuthSecConfig.from_env(base_url=_SOMEWHERE)
    except ConfigError as error:
        return [error]
    return []


def _remedy(error: ConfigError, misspelt: Mapping[str, str]) -> str:
    variable = "AUTHSEC_AGENT_CLIENT_ID" if error.reason.startswith("client_id") else "AUTHSEC_BASE_URL"
    meant = [found for found, wanted in misspelt.items() if wanted == variable]
    if meant and error.reason.endswith("_missing"):
        return _rename(meant[0], variable)
    if variable == "AUTHSEC_BASE_URL" and (address := with_scheme(_base_url())):
        return f"Put the scheme before the address in AUTHSEC_BASE_URL:\n    {export_line(variable, address)}"
    if variable == "AUTHSEC_BASE_URL" and (address := _with_tls(_base_url())):
        return _use_https(address)
    verb = "Set" if error.reason.endswith("_missing") else "Correct"
    return f"{verb} {variable}; the lines on the agent's Connect tab in the console are ready to paste."


def _with_tls(address: str) -> str | None:
    """Return a plain http address of another machine with https; None for any other text."""
    try:
        parts = urlsplit(address)
        refused = parts.scheme == "http" and parts.hostname and "@" not in parts.netloc
    except ValueError:
        return None
    return f"https://{parts.netloc}" if refused and not is_loopback(str(parts.hostname)) else None


def _use_https(address: str) -> str:
    return f"If the authority serves https, use it:\n    {export_line('AUTHSEC_BASE_URL', address)}"


def _facts(config: AuthSecConfig) -> tuple[str, ...]:
    """Return the settings to report. Optional variables appear only if they are set."""
    further = {
        "AUTHSEC_ISSUER": config.issuer,
        "AUTHSEC_PROOF_AUDIENCE": config.proof_audience,
        "AUTHSEC_CA_FILE": config.ca_file,
        "AUTHSEC_ALLOW_HTTP_HOSTS": " ".join(config.allow_http_hosts),
        "AUTHSEC_DPOP": "1" if config.dpop else "",
    }
    set_ = [f"{name} is {plain(value, 200)}" for name, value in further.items() if value]
    return ("AUTHSEC_BASE_URL and AUTHSEC_AGENT_CLIENT_ID have a valid form", *set_)


def _plain_http(config: AuthSecConfig) -> list[Finding]:
    parts = urlsplit(config.base_url)
    if parts.scheme == "https" or is_loopback(str(parts.hostname)):
        return []
    fact = f"plain http to {parts.hostname}: others on the network can read this agent's proofs and tokens"
    remedy = _use_https(f"https://{parts.netloc}")
    return [Finding(step="encryption", grade=Grade.AMBER, facts=(fact,), reason="plain_http", remedy=remedy)]


def _nobody_reads(misspelt: Mapping[str, str], told: Collection[str] = ()) -> list[Finding]:
    """Return the finding about misspelt variables. Its remedy omits every sentence that is already in `told`."""
    facts = tuple(f"{found} is set, but nothing reads it. Did you mean {wanted}?" for found, wanted in misspelt.items())
    remedies = [_rename(found, wanted) for found, wanted in misspelt.items()]
    remedy = " ".join(each for each in remedies if each not in told)
    return (
        [Finding(step="variables", grade=Grade.AMBER, facts=facts, reason="misspelt", remedy=remedy)] if facts else []
    )


def _rename(found: str, wanted: str) -> str:
    if wanted in os.environ:
        return f"Unset {found}, which nothing reads. {wanted} is also set, and is used."
    return f"Rename the variable {found} to {wanted}."


def _misspelt() -> Mapping[str, str]:
    """Return the misspelt variables that are set, each with the AuthSec variable that it resembles.

    No code reads a misspelt variable. The values are not read here either.
    """
    found = {}
    for name in sorted(os.environ):
        others = name in OF_APIS or name.startswith(("AUTHSEC_SERVER_", "AUTHSEC_VERIFY_"))
        if name in READ or others or not name.startswith(_PREFIX):
            continue
        if alike := _meant(name.removeprefix(_PREFIX)):
            found[plain(name, 60)] = alike
    return found


def _meant(name: str) -> str:
    """Return the AuthSec variable that `name` most likely means, or `""`.

    A variable that contains all words of `name` has priority: AGENT_CLIENT_ID for CLIENT_ID. Otherwise the
    variable with the most similar spelling is chosen.
    """
    ours = [each.removeprefix(_PREFIX) for each in READ]
    with_its_words = [each for each in ours if set(name.split("_")) <= set(each.split("_"))]
    joined = {each.replace("_", ""): each for each in ours}
    alike = difflib.get_close_matches(name.replace("_", ""), joined, n=1, cutoff=_ALIKE)
    meant = [*with_its_words, *(joined[each] for each in alike)]
    return _PREFIX + meant[0] if meant else ""
