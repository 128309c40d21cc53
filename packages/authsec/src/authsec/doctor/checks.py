"""All checks of the doctor, in order. After a failed check, the doctor skips only the checks that need its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from authsec.authority import Authority
from authsec.clock import Clock
from authsec.config import AuthSecConfig
from authsec.credentials import CredentialSource
from authsec.doctor.api import ApiFindings, check_api
from authsec.doctor.authority import Names, check_authority, check_token
from authsec.doctor.metadata import check_metadata
from authsec.doctor.network import check_network
from authsec.doctor.packages import check_packages
from authsec.doctor.proofs import check_proofs
from authsec.doctor.report import Finding
from authsec.doctor.settings import Settings
from authsec.terminal import Grade


def examine(
    found: Settings,
    sources: Sequence[CredentialSource],
    clock: Clock,
    *,
    scope: Names = None,
    resource: Names = None,
    api: str | None = None,
) -> Iterator[Finding]:
    """Run all checks, and yield each finding as soon as it is known.

    `api` is the URL of an API to check. Its metadata name the resource of the token request, unless `resource` does.
    If the network does not answer, a check takes several seconds.
    """
    yield from found.findings
    yield from check_packages()
    config = found.config
    if config is None:
        for step in ("connection", "authority", "clock", "oauth", *([] if api is None else ["api"])):
            yield Finding.skipped(step, "needs the address of the authority")
        if found.assumed is not None:
            yield from _proved(found.assumed, sources, clock, None, scope, resource)
            return
        for step in ("proof", "token"):
            yield Finding.skipped(step, "needs the address of the authority and the client_id")
        return
    hops = check_network(config, clock)
    yield from hops
    issuer = None
    if hops and hops[-1].grade is Grade.BAD:
        for step in ("authority", "clock", "oauth"):
            yield Finding.skipped(step, "the authority cannot be reached")
    else:
        answered = check_authority(Authority(config, sources, clock=clock), config, clock)
        yield from answered.findings
        issuer = answered.issuer
        if issuer is None:
            yield Finding.skipped("oauth", "no authority answered")
        else:
            yield check_metadata(issuer, config, clock)
    checked = ApiFindings() if api is None else check_api(api, issuer or config.issuer, config, clock)
    yield from checked.findings
    if not found.names_agent:
        for step in ("proof", "token"):
            yield Finding.skipped(step, "needs the client_id")
        return
    yield from _proved(config, sources, clock, issuer, scope, resource, checked.resource)


def _proved(
    config: AuthSecConfig,
    sources: Sequence[CredentialSource],
    clock: Clock,
    issuer: str | None,
    scope: Names,
    resource: Names,
    named_by_api: str | None = None,
) -> Iterator[Finding]:
    """Check the agent's proof. Then request a token, if the authority answered and the proof is usable.

    If the authority did not answer, the proof is still checked. The check then assumes AUTHSEC_ISSUER as the
    issuer or, if this variable is not set, AUTHSEC_BASE_URL.
    """
    known = config if issuer else replace(config, issuer=config.issuer or config.base_url.rstrip("/"))
    # Without one of these, the required audience of a proof is only a guess.
    certain = issuer or config.proof_audience
    looked = check_proofs(Authority(known, sources, clock=clock), config, clock, certain=bool(certain))
    yield looked.finding
    if looked.broken:
        yield Finding.skipped("token", "the SDK requests no token while the agent's proof is broken")
    elif issuer is None:
        yield Finding.skipped("token", "no authority answers")
    else:
        yield from check_token(config, looked, clock, scope=scope, resource=resource, named_by_api=named_by_api)
