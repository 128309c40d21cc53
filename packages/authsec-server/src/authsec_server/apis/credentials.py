"""Create, list, revoke and find the credentials of APIs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count

from authsec.api_credential import CREDENTIAL_BYTES, text_of

from authsec_server import naming
from authsec_server.accounts.model.admin_keys import expiry
from authsec_server.accounts.model.secret import hashed
from authsec_server.apis import service, store
from authsec_server.apis.model import Api, Credential, CredentialRefusal, Holder
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named, Refusal, Tally, repeat_detail
from authsec_server.db import Tx
from authsec_server.failures import Conflict, NotFound
from authsec_server.principal import Act, Role
from authsec_server.web.request_context import limit_key

MAX_VALID = 2  # two, so that a new credential can replace the old one without downtime
KEPT = timedelta(days=90)  # ended credentials stay, so that the audit log can name a refused one
LAST_USE_EVERY = timedelta(minutes=1)


def create(
    tx: Tx, act: Act, id_or_slug: str, *, name: str | None = None, life: timedelta | None = None
) -> tuple[Credential, str]:
    """Create a credential of the API. Return the credential and its text, which is shown only once.

    Without `name`, the date is the name. Call only inside a `change`. Raises `NotFound`, `Invalid`. Raises
    `Conflict` if the API already has a credential with this name, or its maximum number of valid credentials.
    """
    act.principal.require(Role.OPERATOR)
    api = service.get(tx, act, id_or_slug)
    store.forget_credentials(tx.connection, api.id, act.now - KEPT)
    held = store.credentials_of(tx.connection, api.id)
    _refuse_too_many(act, api, held)
    credential = Credential(
        id=act.new_id(),
        api_id=api.id,
        name=_named_once(api, held, name_of_the_day(act.now, held) if name is None else name),
        created_at=act.now,
        expires_at=expiry(life, act.now),
    )
    text = text_of(act.token_bytes(CREDENTIAL_BYTES))
    store.add_credential(tx.connection, credential, hashed(text))
    _record(tx, act, EventKind.API_CREDENTIAL_CREATED, api, credential)
    return credential, text


def name_of_the_day(now: datetime, held: Sequence[Credential]) -> str:
    """Return the default name of a new credential: the date, with a number if that name is taken."""
    day, taken = f"{now:%Y-%m-%d}", {each.name for each in held}
    return next(name for number in count(1) if (name := f"{day} ({number})" if number > 1 else day) not in taken)


def of_api(tx: Tx, act: Act, id_or_slug: str) -> list[Credential]:
    """Return the API's credentials, the oldest first.

    Expired and revoked credentials stay in the list for some time.
    """
    return store.credentials_of(tx.connection, service.get(tx, act, id_or_slug).id)


def get(tx: Tx, act: Act, id_or_slug: str, id_or_name: str) -> Credential:
    """Return one credential of the API. Raises `NotFound`."""
    api = service.get(tx, act, id_or_slug)
    held = store.credentials_of(tx.connection, api.id)
    found = {**{each.name: each for each in held}, **{each.id: each for each in held}}.get(id_or_name)
    if found is None:
        raise NotFound(
            f"{api.name} has no credential {naming.quoted(id_or_name)}.",
            f"See the list: authsec apis credentials {api.slug}",
        )
    return found


def revoke(tx: Tx, act: Act, id_or_slug: str, id_or_name: str) -> Credential:
    """Revoke the credential, and record that, whatever the row says, as in `accounts.admin_keys.revoke`.

    Call only inside a `change`.
    """
    act.principal.require(Role.OPERATOR)
    api = service.get(tx, act, id_or_slug)
    credential = get(tx, act, id_or_slug, id_or_name)
    at = credential.revoked_at or act.now
    store.set_credential_revoked(tx.connection, credential.id, at)
    _record(tx, act, EventKind.API_CREDENTIAL_REVOKED, api, credential, is_repeat=credential.revoked_at is not None)
    return credential.revoked(at)


def find(tx: Tx, text: str) -> Holder | None:
    """Return the API and the credential with this text, even if the credential is expired or revoked.

    This function checks no permission, because it serves authentication.
    """
    return store.credential_by_hash(tx.connection, hashed(text))


def used(tx: Tx, credential: Credential, now: datetime) -> None:
    """Save the time of the last use, at most once a minute."""
    store.set_credential_used(tx.connection, credential.id, now, at_most_every=LAST_USE_EVERY)


def refused(
    tx: Tx, why: CredentialRefusal, now: datetime, request_id: str, address: str, *, holder: Holder | None = None
) -> None:
    """Count a refused credential in the audit log; `holder` is the API of the credential, if it is known."""
    subject = Named(id=holder.api_id, name=holder.name) if holder else None
    detail = _detail(holder.credential) if holder else {}
    refusal = Refusal(kind=EventKind.API_REFUSED, address=limit_key(address), subject=subject, reason=why)
    audit.count_refusals(tx, {refusal: Tally(count=1, request_id=request_id, detail=detail)}, now)


def _named_once(api: Api, held: Sequence[Credential], name: str) -> str:
    name = naming.name("name", name)
    if name in {each.name for each in held}:
        raise Conflict(
            f"{api.name} has a credential {naming.quoted(name)} already, perhaps an expired or revoked one.",
            "Choose another name: in lists and the audit log, two credentials must not have the same name.",
            field="name",
        )
    return name


def _refuse_too_many(act: Act, api: Api, held: Sequence[Credential]) -> None:
    if sum(each.refusal(act.now) is None for each in held) >= MAX_VALID:
        raise Conflict(
            f"{api.name} already has {MAX_VALID} valid credentials, which is the limit.",
            f"Revoke a credential that is no longer used: authsec apis revoke-credential {api.slug} ID. To see when "
            f"each credential was last used: authsec apis credentials {api.slug}",
        )


def _record(tx: Tx, act: Act, kind: EventKind, api: Api, credential: Credential, *, is_repeat: bool = False) -> None:
    audit.record_act(
        tx,
        act,
        kind,
        subject=Named(id=api.id, name=api.name),
        expires_at=credential.expires_at,
        detail={**_detail(credential), **repeat_detail(is_repeat=is_repeat)},
    )


def _detail(credential: Credential) -> dict[str, str]:
    return {"credential": credential.id, "called": credential.name}
