"""Build the objects for the sign-in of administrators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from authsec_server.accounts.authentication import Sessions, cookie_name
from authsec_server.accounts.model.sessions import SessionTerms
from authsec_server.accounts.oidc import OpenIdSignIn, sign_in_of
from authsec_server.accounts.second_step import Sealing, SecondSteps
from authsec_server.accounts.sign_in import SignIn
from authsec_server.app.runtime import Runtime
from authsec_server.console.addresses import ACTIVITY_STREAM, WITHOUT_SECOND_FACTOR
from authsec_server.keys.master_key import NONCE_BYTES, MasterKey, NotUnsealed, Purpose
from authsec_server.outbound import Outbound
from authsec_server.settings import Settings
from authsec_server.web.throttle import Share
from authsec_server.web.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The objects for the sign-in of administrators.

    `site` is the unit of work for the console, where a session identifies the principal.
    """

    site: UnitOfWork
    sessions: Sessions
    sign_in: SignIn
    second_steps: SecondSteps
    open_id: OpenIdSignIn | None


def people_of(
    settings: Settings,
    site: UnitOfWork,
    outbound: Outbound,
    sealing: Sealing,
    local_operator: bool,
    runtime: Runtime,
) -> People:
    """Build the objects. With `local_operator`, every caller of the console is the operator on this machine."""
    now, monotonic, token_bytes = runtime.now, runtime.monotonic, runtime.token_bytes
    sessions = Sessions(
        site.database,
        name=cookie_name(settings.console_address),
        terms=SessionTerms(
            idle=timedelta(seconds=settings.session_idle), lifetime=timedelta(seconds=settings.session_lifetime)
        ),
        now=now,
        unattended={ACTIVITY_STREAM},
        needs_second_factor=settings.second_factor == "required",
        without_second_factor=WITHOUT_SECOND_FACTOR,
    )
    sign_in = SignIn(
        site.database,
        now=now,
        monotonic=monotonic,
        token_bytes=token_bytes,
        hashing=runtime.hashing(),
        share=Share(settings.workers),
    )
    return People(
        site=site if local_operator else replace(site, authenticate=sessions),
        sessions=sessions,
        sign_in=sign_in,
        second_steps=SecondSteps(site.database, sign_in, sealing, now=now, token_bytes=token_bytes),
        open_id=sign_in_of(settings, outbound, now=now, monotonic=monotonic, token_bytes=token_bytes),
    )


def sealing_of(master_key: MasterKey, token_bytes: Callable[[int], bytes]) -> Sealing:
    """Return the encryption of the secrets of second factors."""

    def seal(plain: bytes, name: str) -> bytes:
        return master_key.seal(plain, kid=name, nonce=token_bytes(NONCE_BYTES), purpose=Purpose.SECOND_FACTOR)

    def unseal(blob: bytes, name: str) -> bytes | None:
        try:
            return master_key.unseal(blob, kid=name, purpose=Purpose.SECOND_FACTOR)
        except NotUnsealed:
            return None

    return Sealing(seal=seal, unseal=unseal)
