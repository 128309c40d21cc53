"""`authsec issuers add`: add trusted issuers, with one command for each kind."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import httpx2
from authsec import strict_json
from authsec.config import is_loopback
from authsec.lazy_commands import Commands
from rich.text import Text

from authsec_server.cli.caller import Caller, path
from authsec_server.cli.confirm import change_command
from authsec_server.cli.files import read_named
from authsec_server.cli.issuers_text import next_steps, shown, shown_lookups
from authsec_server.cli.kubeconfig import (
    FILE,
    MAX_FILE,
    ApiServer,
    certificates,
    from_kubeconfig,
    instead,
    lookup_options,
    lookups,
    read_kubeconfig,
)
from authsec_server.cli.output import Output
from authsec_server.cli.params import slug_option
from authsec_server.cli.transport import CallFailed
from authsec_server.issuers.claims import PRESETS
from authsec_server.issuers.key_set_parsing import UnusableKeys, as_document, holds_private_key, read_key_set
from authsec_server.issuers.model import TrustedIssuerKind

MAX_ANSWER = 256 * 1024
_TIMEOUT = httpx2.Timeout(10, connect=5)  # seconds


def read_cluster(api: ApiServer) -> tuple[str, Mapping[str, Any]]:
    """Read the issuer and the JWK Set from the cluster.

    Raises `CallFailed`; the error says how to read both with kubectl.
    """
    secure = api.server.startswith("https://")
    host = httpx2.URL(api.server).host
    headers = {"Authorization": f"Bearer {api.token}"} if api.token else {}
    with httpx2.Client(
        verify=_trust(api) if secure else False,
        trust_env=secure and not is_loopback(host),
        follow_redirects=False,  # other addresses must not receive the credentials
        timeout=_TIMEOUT,
        headers=headers,
    ) as client:
        discovery = _object(client, f"{api.server}/.well-known/openid-configuration")
        keys = _object(client, f"{api.server}/openid/v1/jwks")
    issuer = discovery.get("issuer")
    if not isinstance(issuer, str):
        raise CallFailed(f"{api.server} does not publish the issuer of its tokens.", instead())
    return issuer, keys


def _object(client: httpx2.Client, url: str) -> Mapping[str, Any]:
    try:
        answer = client.get(url)
    except httpx2.HTTPError as error:
        why = "its certificate is not trusted" if "CERTIFICATE_VERIFY_FAILED" in str(error) else "nothing answers there"
        raise CallFailed(f"{url} cannot be fetched: {why}.", instead()) from None
    if answer.status_code != 200:
        raise CallFailed(f"{url} answered {answer.status_code}.", instead())
    try:
        value = strict_json.loads(answer.content, max_bytes=MAX_ANSWER)
    except strict_json.StrictJsonError:
        value = None
    if not isinstance(value, dict):
        raise CallFailed(f"{url} does not answer as a Kubernetes API server does.", instead())
    return value


def _trust(api: ApiServer) -> ssl.SSLContext:
    """Build the TLS context with the cluster's CA and the client certificate. Raises `CallFailed`.

    The library loads a client certificate only from a file. The certificate is therefore in a private temporary
    file while it is loaded.
    """
    try:
        trust = ssl.create_default_context(cadata=api.ca)
        if api.certificate and api.key:
            with tempfile.TemporaryDirectory() as folder:  # only this user can read the folder
                pair = Path(folder) / "client.pem"
                pair.write_bytes(api.certificate + b"\n" + api.key)
                trust.load_cert_chain(pair)
    except (ssl.SSLError, ValueError):
        raise CallFailed("The certificates of this kubeconfig cannot be read.", instead()) from None
    return trust


NAMESPACE = "authsec"
ACCOUNT = "authsec-lookups"
_REVIEWS = {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}


def prepared(trusted_issuer: Mapping[str, Any], wanted: Mapping[str, bool]) -> dict[str, Any]:
    """Return a copy of the trusted issuer with look-ups turned on, to print their permissions. Nothing is saved.

    The copy has the `wanted` look-ups. If none is wanted, the copy keeps the look-ups that are on. If none is on,
    the copy has all look-ups. Raises `CallFailed` if the trusted issuer is not a Kubernetes cluster.
    """
    if trusted_issuer["kind"] != "kubernetes":
        raise CallFailed(f"{trusted_issuer['slug']} is not a Kubernetes cluster, so it has no look-ups.")
    on = {name: trusted_issuer[name] for name in wanted}
    asked = wanted if any(wanted.values()) else on if any(on.values()) else dict.fromkeys(wanted, True)
    return {
        **trusted_issuer,
        **asked,
        "credentials": trusted_issuer["credentials"] or f"{trusted_issuer['slug']}.token",
    }


def permissions(trusted_issuer: Mapping[str, Any], namespace: str = NAMESPACE, account: str = ACCOUNT) -> str:
    """Return the Kubernetes manifest that allows the enabled look-ups.

    The manifest has the namespace, the service account, its role and the role binding.
    """
    import yaml  # no other command of this group needs it

    rules = [
        *([_REVIEWS] if trusted_issuer["token_review"] else []),
        *([_PODS] if trusted_issuer["pod_lookup"] else []),
    ]
    rbac = "rbac.authorization.k8s.io"
    named = {"name": account, "namespace": namespace}
    made = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": ACCOUNT}, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": ACCOUNT},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", **named}],
        },
    ]
    return "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in made)


def token_command(trusted_issuer: Mapping[str, Any], namespace: str = NAMESPACE, account: str = ACCOUNT) -> str:
    """Return the shell command that writes the service account's token to the authority's file.

    Only the owner of the file can read it.
    """
    return (
        f"(umask 077; kubectl create token {account} --namespace {namespace} --duration 24h "
        f'> "$AUTHSEC_SERVER_CREDENTIALS_DIR/{trusted_issuer["credentials"]}")'
    )


def steps(trusted_issuer: Mapping[str, Any]) -> list[str]:
    """Return the remaining steps for the operator, as lines."""
    return [
        "",
        "Apply this in the cluster to allow the look-ups:",
        "",
        *permissions(trusted_issuer).splitlines(),
        "",
        "Then write a token of this service account to the file below, on the authority's machine. The authority "
        "reads the file at each use. Renew the token before it expires, for example with a timer:",
        "",
        f"    {token_command(trusted_issuer)}",
        "",
        f"Then `authsec issuers check {trusted_issuer['slug']}` shows whether the look-ups work.",
    ]


@click.group(cls=Commands)
def add() -> None:
    """Add a trusted issuer."""


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all kinds of trusted issuers have."""
    for option in (
        slug_option,
        click.option(
            "--audience",
            default="",
            help="Audience that tokens of this issuer must have. [default: this authority's issuer]",
        ),
        click.option("--ca-file", type=FILE, help="PEM certificates to trust when the issuer's keys are fetched."),
    ):
        command = option(command)
    return command


@add.command("kubernetes")
@click.argument("name")
@click.option("--issuer", help="The claim `iss` of the cluster's service-account tokens.")
@click.option("--keys-url", help="URL of the issuer's key set. [default: discovered at the issuer]")
@click.option(
    "--jwks", type=FILE, help="File with the cluster's keys: the output of `kubectl get --raw /openid/v1/jwks`."
)
@from_kubeconfig(
    "Read issuer, keys and API server from the cluster of this context, with the credentials of your kubeconfig."
)
@lookup_options
@common_options
@change_command
def add_kubernetes(
    caller: Caller,
    output: Output,
    name: str,
    issuer: str | None,
    keys_url: str | None,
    jwks: Path | None,
    context: str | None,
    **common: Any,
) -> None:
    """Add the Kubernetes cluster NAME.

    With --token-review or --pod-lookup, this authority asks the cluster about the tokens and pods of agents.
    The authority needs --credentials for these look-ups. The command shows the permissions that the cluster
    must grant.
    """
    api = None
    if context is not None:
        if issuer or keys_url or jwks:
            raise click.UsageError(
                "--from-kubeconfig reads issuer and keys from the cluster: leave out the options for them."
            )
        api = read_kubeconfig(context)
        issuer, document = read_cluster(api)
        keys = _given(TrustedIssuerKind.KUBERNETES, document, "The cluster's published key set")
    elif issuer:
        keys = named_keys(TrustedIssuerKind.KUBERNETES, keys_url, jwks)
    else:
        raise click.UsageError(
            "Which cluster? Give the cluster's --issuer, or read the issuer with --from-kubeconfig [CONTEXT]."
        )
    _add(caller, output, name, TrustedIssuerKind.KUBERNETES, common, issuer=issuer, **keys, **lookups(common, api))


@add.command("spiffe")
@click.argument("name")
@click.option("--trust-domain", required=True, help="Name of the trust domain, e.g. example.org.")
@click.option("--bundle-url", help="URL of the trust domain's bundle endpoint (profile https_web).")
@click.option(
    "--bundle",
    type=FILE,
    help="File with the trust domain's bundle: the output of `spire-server bundle show -format spiffe`.",
)
@common_options
@change_command
def add_spiffe(
    caller: Caller,
    output: Output,
    name: str,
    trust_domain: str,
    bundle_url: str | None,
    bundle: Path | None,
    **common: Any,
) -> None:
    """Add the SPIFFE trust domain NAME."""
    if (bundle_url is None) == (bundle is None):
        raise click.UsageError("Where is the bundle of the trust domain? Give either --bundle-url or --bundle.")
    keys = named_keys(TrustedIssuerKind.SPIFFE, bundle_url, bundle)
    _add(caller, output, name, TrustedIssuerKind.SPIFFE, common, issuer=trust_domain, **keys)


@add.command("oidc")
@click.argument("name")
@click.option("--issuer", required=True, help="The claim `iss` of the issuer's tokens.")
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), help="Use the selectors and claims of this well-known issuer."
)
@click.option(
    "--claim",
    "claims",
    multiple=True,
    help=(
        "A selector and the claim that proves the selector: SELECTOR=CLAIM, e.g. ci:repository=repository. Can "
        "be repeated."
    ),
)
@click.option("--keys-url", help="URL of the issuer's key set. [default: discovered at the issuer]")
@click.option("--jwks", type=FILE, help="File with the issuer's keys, as a JWK Set.")
@common_options
@change_command
def add_oidc(
    caller: Caller,
    output: Output,
    name: str,
    issuer: str,
    preset: str | None,
    claims: tuple[str, ...],
    keys_url: str | None,
    jwks: Path | None,
    **common: Any,
) -> None:
    """Add the OpenID Connect issuer NAME, for workloads."""
    asked = {
        "preset": preset or "",
        "claims": dict(map(_claim, claims)),
        **named_keys(TrustedIssuerKind.OIDC, keys_url, jwks),
    }
    _add(caller, output, name, TrustedIssuerKind.OIDC, common, issuer=issuer, **asked)


def _add(
    caller: Caller, output: Output, name: str, kind: TrustedIssuerKind, common: Mapping[str, Any], **asked: Any
) -> None:
    ca = certificates(common["ca_file"])
    body = {"name": name, "kind": kind, "slug": common["slug"], "audience": common["audience"], "ca": ca, **asked}
    trusted_issuer = caller.post("issuers", body)
    if output.as_json:
        output.result(trusted_issuer)
        return
    asked = trusted_issuer["token_review"] or trusted_issuer["pod_lookup"]
    output.result(
        trusted_issuer,
        shown(trusted_issuer),
        *next_steps(trusted_issuer),
        *(_look_ups(caller, trusted_issuer) if asked else ()),
    )
    if trusted_issuer["keys_from"] != "given":
        _note_keys(caller, output, trusted_issuer)


def _note_keys(caller: Caller, output: Output, trusted_issuer: Mapping[str, Any]) -> None:
    """Fetch the keys of the new trusted issuer, and warn if that fails.

    Without keys, the trusted issuer is added, but the authority accepts none of its tokens.
    """
    keys = caller.post(path("issuers", trusted_issuer["slug"], "refresh"))
    if keys["failure"]:
        again = caller.follow_up("issuers", "refresh", trusted_issuer["slug"])
        output.note(
            f"! The issuer's keys could not be fetched, so the issuer's tokens are not accepted yet: {keys['failure']}."
        )
        output.note(f"  To try again: {again}")


def _look_ups(caller: Caller, trusted_issuer: Mapping[str, Any]) -> list[Text | str]:
    """Try the look-ups once. Return lines about the result and, if a look-up failed, the steps to do next.

    No proof depends on a new trusted issuer yet, so a failure stops no agent.
    """
    states = caller.post(path("issuers", trusted_issuer["slug"], "lookups"))
    if not any(state["failure"] for state in states.values()):
        return ["", "The cluster answered a test of the look-ups."]
    silent = "The cluster does not answer yet. Until the cluster answers, agents in it get no token:"
    return ["", silent, *shown_lookups(states), *steps(trusted_issuer)[1:]]


def named_keys(kind: TrustedIssuerKind, url: str | None, file: Path | None) -> dict[str, Any]:
    """Return where the keys come from, as fields of the admin API: a URL, a file, or discovery at the issuer.

    Raises `UsageError` if both a URL and a file are named, and `CallFailed` for an unusable file.
    """
    if url is not None and file is not None:
        raise click.UsageError("Give the URL of the keys or a file with the keys, not both.")
    if file is not None:
        content = read_named(file, at_most=MAX_FILE)
        try:
            document = strict_json.loads(content, max_bytes=MAX_FILE)
        except strict_json.StrictJsonError as error:
            if holds_private_key(content.decode("utf-8", "replace")):
                raise CallFailed(f"{file} has a PRIVATE key. It was not sent.", "Give the public JWK Set.") from None
            raise CallFailed(f"{file} is not strict JSON: {error}.") from None
        return _given(kind, document if isinstance(document, dict) else {}, str(file))
    return {"keys_from": "discovery"} if url is None else {"keys_from": "url", "keys_url": url}


def _given(kind: TrustedIssuerKind, document: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """Return only the public keys of the document. Raises `CallFailed`.

    A document with a private key is refused before the request, so the key does not leave this machine.
    """
    try:
        return {"keys_from": "given", "given_keys": as_document(kind, read_key_set(kind, document).keys)}
    except UnusableKeys as error:
        alarm = " Consider that key exposed: replace it at the issuer." if error.exposed else ""
        raise CallFailed(
            f"{whose} cannot be used: {error}. It was not sent.", f"Give the public JWK Set.{alarm}"
        ) from None


def _claim(text: str) -> tuple[str, str]:
    selector, equals, claim = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} has no claim: write SELECTOR=CLAIM.", param_hint="--claim")
    return selector, claim
