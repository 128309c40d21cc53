"""Admin API operations for the proofs of a client: add, remove, and rotate the secret."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pydantic import Field

from authsec_server.clients import held_proofs, service
from authsec_server.clients.api import ONE, NewSelector
from authsec_server.clients.held_proofs import rotate_secret
from authsec_server.clients.model import OVERLAP, Client, NewProof, Proof
from authsec_server.clients.views import ClientMade, ProofShown, load_details, made, proof_json
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.web.bodies import Body
from authsec_server.web.instants import parse_instant
from authsec_server.web.operations import AnyOperation, Call, NoBody, declared, operation


class FurtherProof(Body):
    """Request to add a proof, with fields as in `NewClient`. `expires_at` is RFC 3339."""

    platform: str
    selectors: list[NewSelector] = Field(default_factory=list)
    public_key: str | None = Field(default=None, repr=False)  # somebody will paste a private one
    trusted_issuer: str | None = None
    expires_at: str | None = None

    def wanted(self) -> NewProof:
        """Convert the request to a `NewProof`."""
        return NewProof(
            platform=self.platform,
            selectors=tuple((each.key, each.value) for each in self.selectors),
            public_key=self.public_key,
            trusted_issuer=self.trusted_issuer,
            expires_at=None if self.expires_at is None else parse_instant("expires_at", self.expires_at),
        )


class Rotation(Body):
    """Request to rotate the secret. `overlap` is the time, in seconds, for which the earlier secrets stay valid."""

    overlap: int = Field(int(OVERLAP.total_seconds()), ge=-(10**9), le=10**9)  # its bounds are the verb's to say


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOperations:
    """The operations on proofs. `trust_domain` is the trust domain in the clients' SPIFFE IDs."""

    trust_domain: str

    @operation("POST", ONE + "/proofs", "addProof", status=201, revised=True, secrets=("client_secret",))
    async def add(self, call: Call[FurtherProof]) -> ClientMade:
        """Add a proof to a client.

        If a client secret is made, only this answer contains the secret.
        """
        wanted, domain = call.body.wanted(), self.trust_domain
        client = await call.change(
            lambda tx, act: held_proofs.add_proof(tx, act, call.of("client"), wanted, trust_domain=domain)
        )
        return made(await call.read(lambda tx, _: load_details(tx, client)), domain, call.act.now)

    @operation("DELETE", ONE + "/proofs/{proof}", "removeProof")
    async def remove(self, call: Call[NoBody]) -> ProofShown:
        """Remove a proof, and revoke the tokens that were issued on it.

        A client without a proof gets no token until it has another proof.
        """

        def work(tx: Tx, act: Act) -> tuple[Client, Proof]:
            client = service.get(tx, act, call.of("client"))
            proof = held_proofs.held(client, call.of("proof"))
            held_proofs.remove_proof(tx, act, client.id, proof.id)
            return client, proof

        had, removed = await call.change(work)
        return proof_json(removed, await call.read(lambda tx, _: load_details(tx, had)), call.act.now)

    @operation("POST", ONE + "/secret", "rotateSecret", status=201, revised=True, secrets=("client_secret",))
    async def rotate(self, call: Call[Rotation]) -> ClientMade:
        """Create a new secret for a client.

        Only this answer contains the new secret. Earlier secrets stay valid for the time `overlap`.
        """
        overlap = timedelta(seconds=call.body.overlap)
        client = await call.change(lambda tx, act: rotate_secret(tx, act, call.of("client"), overlap))
        return made(await call.read(lambda tx, _: load_details(tx, client)), self.trust_domain, call.act.now)


def operations(*, trust_domain: str) -> list[AnyOperation]:
    """Return the operations on proofs; see `ProofOperations`."""
    its = ProofOperations(trust_domain=trust_domain)
    return declared(its.add, its.remove, its.rotate)
