"""The commands that add a trusted issuer for the proof of a client. All functions are pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from authsec_server.clients.model import Platform, Selector
from authsec_server.console.clients.next_step import ProofStep
from authsec_server.issuers.claims import PRESETS

_LOOKUPS = "--token-review --pod-lookup --credentials"
_SERVER = "--api-server SERVER --api-ca-file ca.pem"
_SHOWS_SERVER = "kubectl config view --minify --raw   # shows SERVER and, in base64, the text of ca.pem\n"
_ISSUERS = {
    "github": ("GitHub Actions", "https://token.actions.githubusercontent.com"),
    "gitlab": ("GitLab", "https://gitlab.com"),
    "google": ("Google", "https://accounts.google.com"),
    "azure": ("Microsoft Entra", "https://login.microsoftonline.com/TENANT/v2.0"),
}
"""For each preset, the name and the issuer. The person replaces TENANT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerCommands:
    """What to run to add the trusted issuer.

    `public` are the commands for a kubeconfig that runs a sign-in program, as for most clusters with a public issuer.
    Other platforms have none.
    """

    first: str
    public: str = ""


def issuer_commands(
    step: ProofStep, *, trust_domain: str, may_look_up: bool, program: str, options: str = ""
) -> IssuerCommands:
    """Return the commands for the proof of the step.

    `trust_domain` is the trust domain in the clients' SPIFFE IDs. With `may_look_up`, this server has a folder of
    credentials, so it can ask a cluster. `program` begins each command, and `options` ends it and names
    this server's data.
    """
    assert step.proof is not None
    selectors = step.proof.selectors
    if step.platform is Platform.KUBERNETES:
        return _kubernetes(program, options, asked=may_look_up and bool(step.by_lookup))
    if step.platform is Platform.OIDC:
        return IssuerCommands(first=_open_id(program, selectors) + options)
    if step.platform is Platform.SPIFFE:
        trust_domain = selectors[0].value.removeprefix("spiffe://").partition("/")[0]
    return IssuerCommands(
        first="spire-server bundle show -format spiffe > bundle.json\n"
        f'{program} issuers add spiffe "SPIRE" --trust-domain {shlex.quote(trust_domain)} --bundle bundle.json{options}'
    )


def lookup_commands(slug: str, *, program: str, options: str = "") -> IssuerCommands:
    """Return the commands that turn pod look-up on for a registered cluster. `options` names this server's data."""
    edit, file = f"{program} issuers edit {slug}", f"{slug}.token"
    permit = (
        f"{program} issuers rbac {slug}{options} | kubectl apply -f -\n"
        "(umask 077; kubectl create token authsec-lookups --namespace authsec --duration 24h "
        f'> "$AUTHSEC_SERVER_CREDENTIALS_DIR/{file}")\n'
    )
    return IssuerCommands(
        first=f"{permit}{edit} --from-kubeconfig {_LOOKUPS} {file}{options}",
        public=f"{_SHOWS_SERVER}{edit} {_LOOKUPS} {file} {_SERVER}{options}",
    )


def _kubernetes(program: str, options: str, *, asked: bool) -> IssuerCommands:
    lookups = f" {_LOOKUPS} production.token" if asked else ""
    server = f" {_SERVER}" if asked else ""
    shows = _SHOWS_SERVER if asked else ""
    return IssuerCommands(
        first=f'{program} issuers add kubernetes "Production" --from-kubeconfig{lookups}{options}',
        public="kubectl get --raw /.well-known/openid-configuration   # shows ISSUER\n"
        f'{shows}{program} issuers add kubernetes "Production" --issuer ISSUER{lookups}{server}{options}',
    )


def _open_id(program: str, selectors: tuple[Selector, ...]) -> str:
    prefix = selectors[0].key.partition(":")[0]
    if prefix in PRESETS:
        name, issuer = _ISSUERS[prefix]
        return f'{program} issuers add oidc "{name}" --issuer {issuer} --preset {prefix}'
    claims = " ".join(f"--claim {shlex.quote(each.key)}=CLAIM" for each in selectors)
    return f'{program} issuers add oidc "{prefix}" --issuer ISSUER {claims}'
