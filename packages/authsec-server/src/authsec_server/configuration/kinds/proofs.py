"""Match the proofs in a document with the agent's proofs, and find the proofs to add or to remove.

A document never contains keys from an enrolment, which are valid only for some hours. A document never
contains or creates a secret: it only says that the agent has secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from authsec.jose import PublicKey

from authsec_server import naming
from authsec_server.clients.model import Client, NewProof, Platform, Proof, ProofKind
from authsec_server.clients.proofs import make_proof, platform_of
from authsec_server.configuration.document import ProofShape
from authsec_server.configuration.model import UNMADE, Facts, filled
from authsec_server.failures import Conflict, Invalid
from authsec_server.web.instants import parse_instant, rfc3339

_OF_DOCUMENTS: Final = frozenset({ProofKind.SELECTORS, ProofKind.KEY_PAIR, ProofKind.UNATTESTED})
_Fits = Callable[[Proof, "WantedProof", Mapping[str, str]], bool]
SECRET: Final = "secret"  # noqa: S105 - the platform's name in a document


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedProof:
    """A proof in a document. `index` is its position in the list of proofs.

    `held` is the matching proof that the agent already has, if there is one.
    """

    index: int
    proof: Proof  # the proof to create, with empty ids
    trusted_issuer: str | None
    held: Proof | None = None

    def new(self) -> NewProof:
        """Return the proof as input for adding it to the agent."""
        key = self.proof.public_key
        return NewProof(
            platform=platform_of(self.proof),
            selectors=tuple((each.key, each.value) for each in self.proof.selectors),
            public_key=None if key is None else PublicKey.from_jwk(key).to_pem().decode(),
            trusted_issuer=self.trusted_issuer,
            expires_at=self.proof.expires_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedProofs:
    """The proofs to keep, to bind to their trusted issuer, to add and to remove. Secrets are not included."""

    staying: tuple[WantedProof, ...]
    bound: tuple[WantedProof, ...]
    new: tuple[WantedProof, ...]
    gone: tuple[Proof, ...]


def exported(client: Client, slugs: Mapping[str, str], now: datetime) -> list[Facts]:
    """Return the proofs as a configuration document writes them. Expired proofs are left out."""
    valid = [_exported(proof, slugs) for proof in client.proofs if proof.kind in _OF_DOCUMENTS and proof.is_valid(now)]
    return [*valid, {"platform": SECRET}] if client.holds_secret(now) else valid


def facts(client: Client, slugs: Mapping[str, str], now: datetime) -> list[str]:
    """Return the proofs for the comparison with a document, as one line each."""
    lines = [line(proof, slugs.get(proof.trusted_issuer_id or "")) for proof in _held(client) if proof.is_valid(now)]
    return sorted([*lines, *([SECRET] if client.holds_secret(now) else [])])


def wanted(shapes: Sequence[ProofShape]) -> list[WantedProof]:
    """Return the proofs that a document names, without secrets.

    Raises `Invalid`; its `field` is a path that starts with `proofs`.
    """
    found: dict[object, WantedProof] = {}
    for index, shape in enumerate(shapes):
        with within(index):
            proof = _wanted(index, shape)
        if shape.platform == SECRET:
            continue
        if found.setdefault((_evidence(proof.proof), proof.trusted_issuer), proof) is not proof:
            raise Invalid(f"proofs.{index}", "This proof occurs twice.", "Name it once.")
    return [*found.values()]


def compared(
    client: Client | None, asked: Sequence[WantedProof], slugs: Mapping[str, str], now: datetime
) -> ComparedProofs:
    """Match the agent's proofs with the document's proofs.

    Proofs with the same trusted issuer match first. Then a document's proof without an issuer matches a proof of
    any issuer. Last, a document's proof with an issuer matches an agent's proof that has no issuer yet.
    """
    left = list(_held(client)) if client else []
    meant: dict[int, Proof] = {}
    for fits in (_same_trusted_issuer, _any_trusted_issuer, _no_trusted_issuer_yet):
        for each in asked:
            if each.index not in meant and (found := _first(left, each, fits, slugs)):
                meant[each.index] = found
                left.remove(found)
    matched = [_with(each, meant[each.index]) for each in asked if each.index in meant]
    bound = tuple(
        each
        for each in matched
        if each.trusted_issuer is not None and each.held and each.held.trusted_issuer_id is None
    )
    return ComparedProofs(
        staying=tuple(each for each in matched if each not in bound),
        bound=bound,
        new=tuple(each for each in asked if each.index not in meant),
        gone=tuple(proof for proof in left if proof.is_valid(now)),
    )


@contextmanager
def within(index: int) -> Iterator[None]:
    """Add the proof's path in the document to `Invalid` and `Conflict` errors from this block."""
    try:
        yield
    except Invalid as failure:
        raise Invalid(_place(index, failure.field), failure.message, failure.remedy) from None
    except Conflict as failure:
        raise Conflict(failure.message, failure.remedy, field=_place(index, failure.field)) from None


def _place(index: int, field: str) -> str:
    return f"proofs.{index}.{field}".rstrip(".") if field.partition(".")[0] in {"", *ProofShape.model_fields} else field


def line(proof: Proof, trusted_issuer: str | None) -> str:
    """Describe the proof in one line. Equal proofs have equal lines."""
    until = f" until {rfc3339(proof.expires_at)}" if proof.expires_at else ""
    if proof.kind is ProofKind.KEY_PAIR:
        return f"key {proof.thumbprint}{until}"
    if proof.kind is not ProofKind.SELECTORS:
        return f"{proof.kind}{until}"
    its = " ".join(sorted(f"{each.key}={each.value}" for each in proof.selectors))
    return f"{platform_of(proof)} {its}{f' by {trusted_issuer}' if trusted_issuer else ''}{until}"


def _held(client: Client) -> list[Proof]:
    return [proof for proof in client.proofs if proof.kind in _OF_DOCUMENTS]


def _exported(proof: Proof, slugs: Mapping[str, str]) -> Facts:
    key = None if proof.public_key is None else PublicKey.from_jwk(proof.public_key).to_pem().decode()
    its = {
        "platform": platform_of(proof).value,
        "trusted_issuer": slugs.get(proof.trusted_issuer_id or ""),
        "selectors": {each.key: each.value for each in proof.selectors},
        "public_key": key,
        "expires_at": rfc3339(proof.expires_at),
    }
    return filled(its)


def _wanted(index: int, shape: ProofShape) -> WantedProof:
    platform = Platform(shape.platform)
    if platform is Platform.SECRET and (
        shape.expires_at or shape.selectors or shape.public_key or shape.trusted_issuer
    ):
        raise Invalid(
            "platform", "For a secret, a document only says that the secret exists.", "Leave out the other fields."
        )
    if shape.trusted_issuer is not None and not naming.is_slug(shape.trusted_issuer):
        raise Invalid(
            "trusted_issuer",
            f"{naming.quoted(shape.trusted_issuer)} is not a slug.",
            "Name the trusted issuer by its slug.",
        )
    expires_at = None if shape.expires_at is None else parse_instant("expires_at", shape.expires_at)
    proof = make_proof(
        id="",
        client_id="",
        platform=platform,
        selectors=tuple(shape.selectors.items()),
        public_key=shape.public_key,
        now=UNMADE,
        token_bytes=bytes,  # zero bytes: this secret is only a placeholder
    )
    return WantedProof(index=index, proof=replace(proof, expires_at=expires_at), trusted_issuer=shape.trusted_issuer)


def _evidence(proof: Proof) -> tuple[object, ...]:
    return proof.kind, proof.thumbprint, frozenset(proof.selectors)


def _first(held: Sequence[Proof], asked: WantedProof, fits: _Fits, slugs: Mapping[str, str]) -> Proof | None:
    for proof in held:
        alike = _evidence(proof) == _evidence(asked.proof)
        if alike and rfc3339(proof.expires_at) == rfc3339(asked.proof.expires_at) and fits(proof, asked, slugs):
            return proof
    return None


def _same_trusted_issuer(proof: Proof, asked: WantedProof, slugs: Mapping[str, str]) -> bool:
    return slugs.get(proof.trusted_issuer_id or "") == asked.trusted_issuer


def _any_trusted_issuer(_proof: Proof, asked: WantedProof, _slugs: Mapping[str, str]) -> bool:
    return asked.trusted_issuer is None


def _no_trusted_issuer_yet(proof: Proof, asked: WantedProof, _slugs: Mapping[str, str]) -> bool:
    return asked.trusted_issuer is not None and proof.trusted_issuer_id is None and proof.kind is ProofKind.SELECTORS


def _with(asked: WantedProof, held: Proof) -> WantedProof:
    return replace(asked, held=held)
