"""What whoever delegates should know: allowed, but perhaps not meant. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from authsec_server.clients.model import Client, ClientKind, ProofKind
from authsec_server.delegations.model import OVER, Caution, Delegation, DelegationState, TargetType, state

_SHOWN = 8  # actions or audiences named in a message


def cautions(
    delegation: Delegation,
    client: Client,
    *,
    described: Collection[str],
    registered: Collection[str],
    default_audience: str,
    now: datetime,
) -> tuple[Caution, ...]:
    """The cautions, the gravest first; none about what is over for good.

    `described` actions and `registered` audiences are those of the APIs.
    """
    if state(delegation, now) in OVER:
        return ()
    return (
        *_about_the_client(delegation, client, now),
        *_about_audiences(delegation, registered, default_audience),
        *_about_actions(delegation, described),
    )


def repeated(new: Delegation, held: Iterable[Delegation], now: datetime) -> tuple[Caution, ...]:
    """Whether what is delegated now was delegated before: who revokes one of the two will think that it is over."""
    for other in held:
        same = other.audiences == new.audiences and set(new.actions) <= set(other.actions)
        if same and state(other, now) is DelegationState.LIVE:
            message = f"The delegation {other.id} allows the same already: to end it, both must be revoked."
            return (Caution(code="delegation_repeats", message=message, delegation_id=other.id),)
    return ()


def misspelt(near: Mapping[str, str]) -> tuple[Caution, ...]:
    """Audiences that no API has, each with the slug of an API that may have been meant by it: `near`."""
    return tuple(
        Caution(code="audience_misspelt", message=f"No API is called {audience}; the nearest is {slug}.")
        for audience, slug in near.items()
    )


def named_before_apis(names: Sequence[str]) -> tuple[Caution, ...]:
    """A caution for audiences that are names and no URLs, while no API is registered."""
    if not names:
        return ()
    are = "is no URL" if len(names) == 1 else "are no URLs"
    return (Caution(code="audience_misspelt", message=f"No API is registered, and {_some(names)} {are}."),)


def _about_the_client(delegation: Delegation, client: Client, now: datetime) -> Iterator[Caution]:
    kinds = {proof.kind for proof in client.proofs if proof.stands(now)}
    if client.unattested(now):
        yield Caution(
            code="client_unattested",
            message=f"{client.name} is unattested: anybody who knows its client_id gets this authority.",
        )
    elif not client.can_prove_itself(now):
        yield Caution(
            code="client_cannot_prove_itself",
            message=f"{client.name} cannot prove itself to this authority yet, so it gets no token.",
        )
    elif delegation.accepts(ProofKind.SECRET) and client.holds_secret(now):
        yield Caution(
            code="client_holds_secret",
            message=f"{client.name} may prove itself by a secret: whoever reads that once gets this authority until it "
            "is rotated.",
        )
    if kinds and not any(map(delegation.accepts, kinds)):
        yield Caution(
            code="proofs_excluded", message=f"Every proof that {client.name} holds is excluded, so it gets no token."
        )
    if (client.kind is ClientKind.MCP_SERVER) is not (delegation.target_type is TargetType.MCP_SERVER):
        is_one = "an MCP server" if client.kind is ClientKind.MCP_SERVER else "an AI agent"
        yield Caution(
            code="target_differs",
            message=f"{client.name} is {is_one}, but its tokens say {delegation.target_type}.",
        )
    if not client.enabled:
        yield Caution(code="client_disabled", message=f"{client.name} is disabled, so it gets no token.")


def _about_audiences(delegation: Delegation, registered: Collection[str], default_audience: str) -> Iterator[Caution]:
    if default_audience in (delegation.audiences or (default_audience,)):
        yield Caution(
            code="audience_shared",
            message=f"Its tokens are for the shared audience {default_audience}: APIs that accept it can use each "
            "other's tokens. Name the API instead.",
        )
    unknown = [each for each in delegation.audiences if each not in registered and each != default_audience]
    if unknown:
        these = "the audience" if len(unknown) == 1 else "these audiences"
        yield Caution(code="audience_not_registered", message=f"No API is registered for {these}: {_some(unknown)}")


def _about_actions(delegation: Delegation, described: Collection[str]) -> Iterator[Caution]:
    unknown = [action for action in delegation.actions if action not in described]
    if unknown:
        these = "the action" if len(unknown) == 1 else "these actions"
        yield Caution(code="action_not_described", message=f"No API describes {these}: {_some(unknown)}")


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return f"{', '.join(names[:_SHOWN])}{f' and {more} more' if more > 0 else ''}"
