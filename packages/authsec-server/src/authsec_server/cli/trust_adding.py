"""`authsec trust add`: registering trust sources, one command a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from authsec import strict_json
from authsec.deferred import Commands
from rich.text import Text

from authsec_server.cli.caller import Caller, path
from authsec_server.cli.changing import change_command
from authsec_server.cli.cluster_keys import read_cluster
from authsec_server.cli.cluster_rbac import steps
from authsec_server.cli.kubeconfig import read_kubeconfig
from authsec_server.cli.lookup_options import FILE, MAX_FILE, certificates, from_kubeconfig, lookup_options, lookups
from authsec_server.cli.named_files import read_named
from authsec_server.cli.output import Output
from authsec_server.cli.reach import CallFailed
from authsec_server.cli.trust_shown import next_steps, shown, shown_lookups
from authsec_server.sources.claims import PRESETS
from authsec_server.sources.jwks import UnusableKeys, as_document, read_key_set
from authsec_server.sources.model import SourceKind
from authsec_server.sources.secret_scan import holds_private_key


@click.group(cls=Commands)
def add() -> None:
    """Register a trust source."""


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every kind takes."""
    for option in (
        click.option("--slug", help="Short name for commands and URLs. [default: made of NAME]"),
        click.option("--audience", default="", help="What its tokens must be for. [default: this authority's issuer]"),
        click.option("--ca-file", type=FILE, help="PEM certificates that count when its keys are fetched."),
    ):
        command = option(command)
    return command


@add.command("kubernetes")
@click.argument("name")
@click.option("--issuer", help="The `iss` of its service-account tokens.")
@click.option("--keys-url", help="Where its keys are. [default: discovered at the issuer]")
@click.option("--jwks", type=FILE, help="Its keys: what `kubectl get --raw /openid/v1/jwks` says.")
@from_kubeconfig("Read issuer, keys and API server from that cluster, with the credentials of your kubeconfig.")
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
    """Register the Kubernetes cluster NAME.

    With --token-review or --pod-lookup it is asked about the tokens and pods of agents, by this authority, which needs
    --credentials for that; what the cluster has to permit is shown.
    """
    api = None
    if context is not None:
        if issuer or keys_url or jwks:
            raise click.UsageError("--from-kubeconfig reads issuer and keys from the cluster: name neither.")
        api = read_kubeconfig(context)
        issuer, document = read_cluster(api)
        keys = _given(SourceKind.KUBERNETES, document, "What the cluster publishes")
    elif issuer:
        keys = named_keys(SourceKind.KUBERNETES, keys_url, jwks)
    else:
        raise click.UsageError("Which cluster? Name its --issuer, or read it with --from-kubeconfig [CONTEXT].")
    _register(caller, output, name, SourceKind.KUBERNETES, common, issuer=issuer, **keys, **lookups(common, api))


@add.command("spiffe")
@click.argument("name")
@click.option("--trust-domain", required=True, help="Its name, e.g. example.org.")
@click.option("--bundle-url", help="Its bundle endpoint (https_web).")
@click.option("--bundle", type=FILE, help="Its bundle, as `spire-server bundle show -format spiffe` says it.")
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
    """Register the SPIFFE trust domain NAME."""
    if (bundle_url is None) == (bundle is None):
        raise click.UsageError("Where is its bundle? Give one of --bundle-url and --bundle.")
    keys = named_keys(SourceKind.SPIFFE, bundle_url, bundle)
    _register(caller, output, name, SourceKind.SPIFFE, common, issuer=trust_domain, **keys)


@add.command("oidc")
@click.argument("name")
@click.option("--issuer", required=True, help="The `iss` of its tokens.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Claims of a well-known issuer.")
@click.option("--claim", "claims", multiple=True, help="SELECTOR=CLAIM, e.g. ci:repository=repository. Repeat.")
@click.option("--keys-url", help="Where its keys are. [default: discovered at the issuer]")
@click.option("--jwks", type=FILE, help="Its keys, as a JWK Set.")
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
    """Register the OpenID Connect issuer NAME, for workloads."""
    asked = {"preset": preset or "", "claims": dict(map(_claim, claims)), **named_keys(SourceKind.OIDC, keys_url, jwks)}
    _register(caller, output, name, SourceKind.OIDC, common, issuer=issuer, **asked)


def _register(
    caller: Caller, output: Output, name: str, kind: SourceKind, common: Mapping[str, Any], **asked: Any
) -> None:
    ca = certificates(common["ca_file"])
    body = {"name": name, "kind": kind, "slug": common["slug"], "audience": common["audience"], "ca": ca, **asked}
    source = caller.post("sources", body)
    if output.as_json:
        output.result(source)
        return
    asked = source["token_review"] or source["pod_lookup"]
    output.result(source, shown(source), *next_steps(source), *(_look_ups(caller, source) if asked else ()))
    if source["keys_from"] != "given":
        _note_keys(caller, output, source)


def _note_keys(caller: Caller, output: Output, source: Mapping[str, Any]) -> None:
    """Say it where its keys cannot be fetched: it is registered, and proves nothing until they can."""
    keys = caller.post(path("sources", source["slug"], "refresh"))
    if keys["failure"]:
        again = caller.follow_up("trust", "refresh", source["slug"])
        output.note(f"! Its keys could not be fetched, and until they can be, it proves nothing: {keys['failure']}.")
        output.note(f"  To try again: {again}")


def _look_ups(caller: Caller, source: Mapping[str, Any]) -> list[Text | str]:
    """Whether the cluster answers already; if not, what is to be done. Nobody rests on a new source yet."""
    states = caller.post(path("sources", source["slug"], "lookups"))
    if not any(state["failure"] for state in states.values()):
        return ["", "The cluster was asked, and answers."]
    silent = "The cluster does not answer yet, and until it does, its agents get no token:"
    return ["", silent, *shown_lookups(states), *steps(source)[1:]]


def named_keys(kind: SourceKind, url: str | None, file: Path | None) -> dict[str, Any]:
    """Where its keys are, in the words of the admin API: at the address, in the file, or found at the issuer."""
    if url is not None and file is not None:
        raise click.UsageError("Its keys are at an address or in a file: give one of the two.")
    if file is not None:
        content = read_named(file, at_most=MAX_FILE)
        try:
            document = strict_json.loads(content, max_bytes=MAX_FILE)
        except strict_json.StrictJsonError as error:
            if holds_private_key(content.decode("utf-8", "replace")):
                raise CallFailed(f"{file} holds a PRIVATE key. It was not sent.", "Give the public JWK Set.") from None
            raise CallFailed(f"{file} is no strict JSON: {error}.") from None
        return _given(kind, document if isinstance(document, dict) else {}, str(file))
    return {"keys_from": "discovery"} if url is None else {"keys_from": "url", "keys_url": url}


def _given(kind: SourceKind, document: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """The public keys, and only these: a private one does not leave this machine."""
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
        raise click.BadParameter(f"{text!r} names no claim: write SELECTOR=CLAIM.", param_hint="--claim")
    return selector, claim
