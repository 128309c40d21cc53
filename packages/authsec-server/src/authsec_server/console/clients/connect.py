"""The Connect tab: code and commands to copy to the client's machine, with the client's own values.

The code contains no secret, because a Client ID is public. The file with the private key or the secret stays on the
agent's machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from authsec_server.apis import service as apis
from authsec_server.apis.model import Api, ApiKind
from authsec_server.clients import enrolment_service
from authsec_server.clients.enrolment import DEFAULT_HOURS, Enrolment
from authsec_server.clients.k8s_manifest import (
    IMAGE,
    YOUR_API,
    api_url,
    manifest,
    names_image,
    namespace,
    unreachable,
)
from authsec_server.clients.model import Client, ProofKind
from authsec_server.console.client_status import ClientStatus, status_of
from authsec_server.console.clients.detail import Ahead, ahead_of, find_client
from authsec_server.console.clients.oauth_clients import (
    INSTALL_JAVASCRIPT,
    MAKE_KEY,
    OAuthClient,
    is_address,
    signing_algorithm,
)
from authsec_server.console.clients.shells import for_bash, for_powershell, in_bash, in_powershell
from authsec_server.console.clients.snippets import framework_codes, position
from authsec_server.console.issuers.unavailable import outages
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations.effective import EffectiveAction, effective_actions
from authsec_server.delegations.model import Delegation, DelegationState, ResolvedDelegation, TargetType
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuerKind
from authsec_server.tokens.preview import preview
from authsec_server.tokens.refusal import Denied, Reason

_API = "DOWNSTREAM_URL"
KEY_FILE = "agent-key.pem"
KEYGEN = f"keygen {KEY_FILE}"
"""The words of `authsec` that create an agent's key pair. All pages of the console use the same file name."""

SECRET_FILE, SECRET_VARIABLE = "agent-secret", "AUTHSEC_AGENT_SECRET_FILE"
_KEY, _TOKEN = "AUTHSEC_AGENT_KEY_FILE", "AUTHSEC_WORKLOAD_TOKEN_FILE"
PROOF_VARIABLES = (_KEY, _TOKEN, SECRET_VARIABLE)


def example_action(actions: Iterable[str]) -> str:
    """Choose an action for an example program that reads a customer's record.

    An action that ends in `:read` is preferred, then one that ends in `:list`. Return "" if there is no such
    action. Other actions are never chosen, so that nobody copies a write action by accident.
    """
    held = sorted(actions)
    fitting = (action for verb in (":read", ":list") for action in held if action.endswith(verb))
    return next(fitting, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The values with which a client connects to this authority.

    `scope` is an action for the example, and `audience` is the API for which the token is issued. `resource` is
    the same API if the token request must name the API. Unknown values are empty. `needs_dpop` is true if a live
    delegation requires DPoP. `audiences` are those of all live delegations. Both leave out delegations that accept no
    proof of the client, if another one accepts a proof.

    `api` is the API of the settings: `audience`, or an API of a client that gets no token. `actions` are delegated for
    this API. `needs_resource` is true if the delegations are for different APIs. `servers` are the MCP servers.
    `program` starts the command `authsec`.
    """

    base_url: str
    client_id: str
    program: str
    has_key: bool
    has_secret: bool = False
    scope: str = ""
    audience: str = ""
    resource: str = ""
    needs_dpop: bool = False
    actions: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    api: str = ""
    needs_resource: bool = False
    servers: tuple[str, ...] = ()

    @property
    def others(self) -> tuple[str, ...]:
        """Return the APIs that the example programs do not call."""
        return tuple(each for each in self.audiences if each != self.audience) if self.audience else ()

    @property
    def bash(self) -> str:
        """Return the client's environment variables for bash and similar shells."""
        *lines, last = for_bash(self._environment, self._others, files=self._proof)
        api = f'export {_API}="${{{_API}:-{YOUR_API}}}"'
        if self._api_url:
            is_set = f'[[ "${{{_API}:-your-api}}" != *your-api* ]]'  # a line that fits the page
            api = f'{is_set} || export {_API}="{in_bash(self._api_url)}"'
        return "\n".join([*lines, api, last])

    @property
    def powershell(self) -> str:
        """Return the client's environment variables for PowerShell."""
        *lines, last = for_powershell(self._environment, self._others, files=self._proof)
        api = f'if (-not $env:{_API}) {{ $env:{_API} = "{YOUR_API}" }}'
        if self._api_url:
            url = in_powershell(self._api_url)
            api = f'if ("$env:{_API}" -in "", "{YOUR_API}") {{ $env:{_API} = "{url}" }}'
        return "\n".join([*lines, api, last])

    @property
    def demo_api(self) -> str:
        """Return the command that starts a sample API and a scripted model for this authority."""
        asked = f' --audience "{in_bash(self.audience)}"' if self.audience else ""
        return f'{self.program} demo-api --issuer "{in_bash(self.base_url)}"{asked}'

    @property
    def smoke(self) -> str:
        """Return the command of Step 6 of the walk-through: a smoke test.

        If the token request must name the API, the command has the option `--resource`.
        """
        if self.resource:
            return f'{self.program} smoke --resource "{in_bash(self.resource)}"'
        return "uv run python examples/smoke_local.py" if self.program.startswith("uv run") else f"{self.program} smoke"

    @property
    def _proof(self) -> Mapping[str, str]:
        """Return the environment variable and the file name of the client's proof. A key is preferred to a secret."""
        if self.has_key:
            return {_KEY: KEY_FILE}
        return {SECRET_VARIABLE: SECRET_FILE} if self.has_secret else {}

    @property
    def _others(self) -> list[str]:
        """Return the other proof variables, which the commands unset.

        The shell may still have another agent's proof in these variables.
        """
        return [name for name in PROOF_VARIABLES if name not in self._proof]

    @property
    def _api_url(self) -> str:
        """Return the URL of the API, or "" if the URL is unknown.

        The commands keep the URL that the shell has, such as that of a test system or of `authsec demo-api`. They
        replace the placeholder alone.
        """
        return self.audience if is_address(self.audience) else ""

    @property
    def _environment(self) -> Mapping[str, str]:
        dpop = {"AUTHSEC_DPOP": "1"} if self.needs_dpop else {}
        return {"AUTHSEC_BASE_URL": self.base_url, "AUTHSEC_AGENT_CLIENT_ID": self.client_id, **dpop}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """The Kubernetes manifest (YAML) of the client's pods.

    `placeholders` maps each placeholder of the manifest to the value that replaces it. `smoke` is the command that
    runs the smoke test in a pod. `caution` is a warning if pods cannot reach this authority. `caution` is empty if
    they can.
    """

    manifest: str
    placeholders: Mapping[str, str]
    smoke: str
    caution: str = ""


async def connect(visit: PageRequest) -> Response:
    """Show the Connect tab."""
    silent = await outages(visit)
    found = await visit.read(lambda tx: _connection(tx, visit, silent))
    client, status, ahead, connection, codes, pods, target = found
    key = next((proof.public_key for proof in reversed(client.proofs) if proof.kind is ProofKind.KEY_PAIR), None)
    return visit.render(
        "clients/connect.html",
        title=client.name,
        client=client,
        client_status=status,
        ahead=ahead,
        connection=connection,
        oauth=OAuthClient(
            issuer=connection.base_url,
            client_id=client.id,
            key_file=KEY_FILE,
            secret_file=SECRET_FILE,
            algorithm=signing_algorithm(key) if key else "",
            has_secret=connection.has_secret,
            is_workload=any(proof.kind is ProofKind.SELECTORS for proof in client.proofs),
            scope=connection.scope,
            audience=connection.audience,
            resource=connection.resource,
            is_bound=connection.needs_dpop,
            actions=connection.actions,
            audiences=connection.audiences,
            api=connection.api,
            needs_resource=connection.needs_resource,
            servers=connection.servers,
        ),
        make_key=MAKE_KEY.format(key_file=KEY_FILE),
        install_javascript=INSTALL_JAVASCRIPT,
        frameworks=framework_codes(
            client.id,
            connection.scope,
            connection.resource,
            sdk=visit.console.sdk,
            is_bound=connection.needs_dpop,
        ),
        has_wheels=bool(visit.console.sdk),
        framework=position(target),
        shell=preferred_shell(visit),
        pods=pods,
        key_file=KEY_FILE,
        keygen=f"{visit.program} {KEYGEN}",
        codes=codes,
        hours=str(DEFAULT_HOURS),
        choices=HOURS,
    )


def _connection(
    tx: Tx, visit: PageRequest, silent: Mapping[str, str]
) -> tuple[Client, ClientStatus, Ahead, Connection, list[Enrolment], Pods | None, TargetType | None]:
    client = find_client(tx, visit)
    status = status_of(tx, client, visit.act.now, silent)
    codes = enrolment_service.open_of(tx, visit.act, client.id)
    scope, audience, resource = _use(tx, visit, client)
    held = _held(tx, visit, client)
    delegated = delegations.of_client(tx, visit.act, client.id, visit.console.terms)
    live = _granting([each for each in delegated if each.state is DelegationState.LIVE], visit)
    audiences = tuple(sorted({name for each in held for name in each.audiences}))
    known = apis.by_identifiers(tx, audiences)
    api = audience or next(iter(audiences), "")
    connection = Connection(
        base_url=visit.console.settings.issuer,
        client_id=client.id,
        program=visit.program,
        has_key=any(proof.kind is ProofKind.KEY_PAIR for proof in client.proofs),
        has_secret=client.holds_secret(visit.act.now),
        scope=scope,
        audience=audience,
        resource=resource,
        needs_dpop=any(each.require_dpop for each in live),
        actions=_actions_of(api, held, known),
        audiences=audiences,
        api=api,
        needs_resource=len({frozenset(each.audiences) for each in held}) > 1,
        servers=_servers(audiences, known),
    )
    target = delegated[0].delegation.target_type if delegated else None
    called = api_url((resource,) if resource else next((each.audiences for each in live), ()))
    pods = _pods(tx, visit, client, resource, called)
    return client, status, ahead_of(tx, visit, client, status), connection, codes, pods, target


def _granting(live: Sequence[ResolvedDelegation], visit: PageRequest) -> list[Delegation]:
    """Return the delegations that grant the client something, or all if none does."""
    granting = [each for each in live if not each.grants_nothing(visit.act.now)] or live
    return [each.delegation for each in granting]


def _held(tx: Tx, visit: PageRequest, client: Client) -> list[EffectiveAction]:
    """Return the actions that the client gets, or those of all live delegations if the client gets none."""
    held = [each for each in effective_actions(tx, visit.act, client.id, visit.console.terms) if not each.dormant]
    return [each for each in held if not each.gap(client, visit.act.now)] or held


def _actions_of(audience: str, held: Iterable[EffectiveAction], known: Mapping[str, Api]) -> tuple[str, ...]:
    """Return the actions that are delegated for the API, without those that only other APIs describe."""
    described = {name: {each.action for each in api.actions} for name, api in known.items()}

    def is_of_the_api(each: EffectiveAction) -> bool:
        describing = [name for name in each.audiences if each.action in described.get(name, ())]
        return audience in (describing or each.audiences)

    return tuple(sorted({each.action for each in held if is_of_the_api(each)}))


def _servers(audiences: Sequence[str], known: Mapping[str, Api]) -> tuple[str, ...]:
    """Return the MCP servers among the audiences. A URL that no API has may be one, so it comes last."""
    servers = [each for each in audiences if each in known and known[each].kind is ApiKind.MCP_SERVER]
    return (*servers, *(each for each in audiences if each not in known and is_address(each)))


def preferred_shell(visit: PageRequest) -> int:
    """Return 2 (PowerShell) if the browser runs on Windows, else 1 (bash)."""
    return 2 if "Windows" in visit.request.headers.get("user-agent", "") else 1


def _pods(tx: Tx, visit: PageRequest, client: Client, resource: str, api: str) -> Pods | None:
    """Return the manifest for the client's first valid proof with a trusted issuer of the kind Kubernetes.

    Return None if the client has no such proof.
    """
    issuer, named = visit.console.settings.issuer, issuers.by_ids(tx, client.trusted_issuer_ids)
    for proof in client.proofs:
        trusted_issuer = named.get(proof.trusted_issuer_id or "")
        if (
            trusted_issuer is not None
            and trusted_issuer.kind is TrustedIssuerKind.KUBERNETES
            and proof.is_valid(visit.act.now)
        ):
            text = manifest(
                proof.selectors,
                slug=client.slug,
                client_id=client.id,
                base_url=issuer,
                audience=trusted_issuer.audience or issuer,
                api=api,
            )
            missing = {} if names_image(proof.selectors) else {IMAGE: "the agent's image"}
            if api == YOUR_API:
                missing[YOUR_API] = "the URL of the API that the agent calls"
            where = f"--namespace {namespace(proof.selectors)} deployment/{client.slug}"
            asked = f' --resource "{in_bash(resource)}"' if resource else ""
            return Pods(
                manifest=text,
                placeholders=missing,
                smoke=f"kubectl exec {where} -- authsec smoke{asked}",
                caution=unreachable(issuer),
            )
    return None


def _use(tx: Tx, visit: PageRequest, client: Client) -> tuple[str, str, str]:
    """Return an example action, the audience of its API, and the value of `resource` for the token request.

    `resource` is empty if the agent need not name the API. All three values are empty if the client gets no
    token.
    """
    outcome = preview(tx, visit.act, visit.console.tokens.issuance, client.id)
    if not isinstance(outcome, Denied):
        scope, audience = _of_one_api(tx, outcome.granted.actions, outcome.granted.audience)
        return scope, audience, audience if len(outcome.granted.audience) > 1 else ""
    if outcome.reason is Reason.INVALID_TARGET:
        held = _held(tx, visit, client)
        scope = example_action(each.action for each in held)
        delegated = next(each for each in held if scope in {"", each.action})
        beside = [each.action for each in held if each.delegation.id == delegated.delegation.id]
        scope, audience = _of_one_api(tx, beside, delegated.audiences)
        return scope, audience, audience
    return "", "", ""


def _of_one_api(tx: Tx, actions: Iterable[str], audiences: Sequence[str]) -> tuple[str, str]:
    """Return an example action and the API that describes the action, or else the first API."""
    held, known = frozenset(actions), apis.by_identifiers(tx, audiences)
    for api in (known[each] for each in audiences if each in known):
        if scope := example_action(held.intersection(each.action for each in api.actions)):
            return scope, api.identifier
    return example_action(held), audiences[0]


HOURS = (("1", "1 hour"), ("4", "4 hours"), ("8", "8 hours"), ("24", "1 day"), ("72", "3 days"), ("168", "7 days"))
