"""The shape of an event: how AuthSec writes a row of `events` and its `detail`. Pure.

Readers may depend on the shape, because a row of another shape is treated as invalid.
`verify` reports such a row, lists show it as unreadable, and the sealer does not seal it.
For `detail`, only the members that a reader uses are described. Most of these members are optional.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from authsec_server.audit.model import COUNTED, DIGESTS, EDITS, LISTING_ENDED, SHORTENED, Decision, EventKind
from authsec_server.db.versions import MAX_VERSION
from authsec_server.principal import PrincipalKind, Role

MAX_NUMBER: Final = 2**53 - 1  # the highest integer that every JSON parser reads exactly
MAX_OCCURRENCES: Final = 2**31 - 1
MAX_ID: Final = 36  # of a client, a delegation, a role, a proof or a trusted issuer: a UUID
MAX_KID: Final = 64
MAX_ACTION: Final = 127
MAX_DIGEST: Final = 43  # SHA-256 in base64url
MAX_NAME: Final = 4096  # far beyond all names that are given, and far below a line of an export
MAX_LISTED: Final = 2000  # delegations, roles or actions of one event
MAX_NAMED: Final = 300  # delegations that a server names in one event: with the longest names they fit `LONGEST_JSON`
MAX_USES: Final = 200_000  # of one event: each role and delegation times each action is a row of `daily_uses`
TEXTS: Final[Mapping[str, int]] = {  # the longest text of each column, in characters; SQLite has no limit
    "kind": 40,
    "request_id": 40,
    "reason": 40,
    "address": 45,
    "jti": 40,
    "kid": MAX_KID,
    "token_sha256": 64,
}
OPTIONAL_TEXTS: Final[Mapping[str, int]] = {
    "principal_kind": 20,
    "principal_id": MAX_ID,
    "principal_name": MAX_NAME,
    "principal_role": 10,
    "client_id": MAX_ID,
    "client_name": MAX_NAME,
    "subject_id": 80,
    "subject_name": MAX_NAME,
    "decision": 10,
    "count_key": 128,
}
_JTI: Final = re.compile(r"[0-9a-f]{32}")  # 16 octets
_REQUEST_ID: Final = re.compile(r"req_[0-9a-v]{24}")  # 15 octets in base32hex
LONGEST_LIFETIME: Final = timedelta(days=7)  # `MAX_TOKEN_LIFETIME_CAP` of the settings, which no model imports
_KINDS: Final = frozenset(EventKind) - {EventKind.EVENT_UNREADABLE}
_DECISIONS: Final = frozenset({None, *Decision})
_OF_TOKENS: Final = frozenset({EventKind.TOKEN_ISSUED, EventKind.TOKEN_REVOKED})  # events with a `jti`
_THINGS: Final = ("principal", "client", "subject")
_IDS: Final = ("principal_id", "client_id", "subject_id", "kid")
_PRINCIPALS: Final = frozenset(PrincipalKind)

Shape = Callable[[Any], bool]


def is_id(value: Any, longest: int = MAX_ID) -> bool:
    """Whether the value has the form of an id: printable ASCII.

    The attack: raw SQL inserts a delegation whose id has another form. `verify` could not compare all such texts, so no
    event may have them, and no server issues a token for such a row.
    """
    return type(value) is str and 0 < len(value) <= longest and value.isascii() and value.isprintable()


def _of(*types: type) -> Shape:
    return lambda value: type(value) in types


def _text(longest: int) -> Shape:
    return lambda value: type(value) is str and len(value) <= longest


def _list(each: Shape) -> Shape:
    return lambda value: type(value) is list and len(value) <= MAX_LISTED and all(map(each, value))


def _map(each: Shape) -> Shape:
    return lambda value: type(value) is dict and all(map(each, value.values()))


def _object(_required: Mapping[str, Shape] | None = None, **optional: Shape) -> Shape:
    """Return a check for a JSON object with members of these shapes. Other members may have any value."""
    required = _required or {}

    def fits(value: Any) -> bool:
        return (
            type(value) is dict
            and all(name in value and shape(value[name]) for name, shape in required.items())
            and all(shape(value[name]) for name, shape in optional.items() if name in value)
        )

    return fits


def _or_none(shape: Shape) -> Shape:
    return lambda value: value is None or shape(value)


_TEXT: Final = _of(str)
_TEXT_OR_NONE: Final = _of(str, type(None))
_ID: Shape = lambda value: value == "" or is_id(value)  # noqa: E731 - as its neighbours
_NAME: Final = _text(MAX_NAME)
_NUMBER: Shape = lambda value: type(value) is int and 0 <= value <= MAX_NUMBER  # noqa: E731 - as its neighbours
_NAMES: Final = _or_none(_list(_TEXT))
_SELECTOR: Final = _object(
    {"key": _TEXT, "registered": _TEXT, "shown": _TEXT, "agrees": _of(bool)}, proved_by=_TEXT_OR_NONE
)
_MEMBERS: Final[Mapping[str, Shape]] = {  # readers look at each of these in events of several kinds
    "details": _TEXT,
    "actions": _or_none(_list(_text(MAX_ACTION))),
    "audience": _NAMES,
    "resources": _NAMES,
    "missing": _NAMES,
    "unknown": _NAMES,
    "withheld": _NAMES,
    "smaller": _NAMES,
    "attestation": _TEXT_OR_NONE,
    "proof_id": _or_none(_ID),
    "jkt": _TEXT,
    "needs_dpop": _of(bool),
    "proved_by": _map(_TEXT),
    "validation": _TEXT_OR_NONE,
    "failed": _TEXT,
    SHORTENED: _map(_object({"length": _NUMBER, "sha256": _TEXT})),
    "trusted_issuer": _object({"id": _ID, "name": _NAME}),
    "miss": _object(proof_id=_or_none(_ID), sentence=_TEXT, validation=_TEXT_OR_NONE, selectors=_list(_SELECTOR)),
}
_DIGEST: Final = _text(MAX_DIGEST)
_DIGESTS: Final = _map(lambda both: type(both) is list and len(both) == 2 and all(map(_DIGEST, both)))
_OF_ANY: Final = _object(None, **_MEMBERS)
_ACTIONS: Final = _list(_text(MAX_ACTION))
_DESCRIBED: Shape = lambda value: _map(_TEXT)(value) and _ACTIONS([*value])  # noqa: E731 - as above
_ENDED: Final = _list(_object({"kind": _TEXT, "id": _ID}))
_EDIT: Final[Mapping[str, Shape]] = {"revision": _NUMBER, "before": _of(dict), "after": _of(dict)}
_DETAILS: Final[Mapping[str, Shape]] = {
    EventKind.ISSUER_TRIED: _object(None, **{**_MEMBERS, "failed": _list(_TEXT)}),
    **dict.fromkeys(
        (EventKind.ISSUER_CREATED, EventKind.ISSUER_DELETED), _object(None, **{**_MEMBERS, "audience": _TEXT})
    ),
    **dict.fromkeys(
        (EventKind.API_CREDENTIAL_CREATED, EventKind.API_CREDENTIAL_REVOKED),
        _object({"credential": is_id}, **_MEMBERS),
    ),
    EventKind.API_DELETED: _object(None, **{**_MEMBERS, "actions": _DESCRIBED}),
    EventKind.EVENTS_DROPPED: _object(None, **_MEMBERS, events=_NUMBER, before=_TEXT),
    EventKind.COUNTS_REBUILT: _object(None, **_MEMBERS, rows=_map(_NUMBER)),
    EventKind.ADMIN_REFUSED: _object(None, **_MEMBERS, operation=_TEXT),
    **dict.fromkeys(EDITS, _object(None, **_MEMBERS, **_EDIT)),
    **dict.fromkeys(LISTING_ENDED, _object({"ended": _ENDED}, **_MEMBERS, **_EDIT)),  # `verify` compares the list
}
_NAMED: Final = _list(_object({"id": is_id, "name": _NAME}))  # a filter by an empty id would find all events


def is_number(value: Any) -> bool:
    """Whether the value can be the number of a sealed event.

    A checkpoint contains event numbers as JSON, so a number must be one that every JSON parser reads exactly.
    Readers also show events with higher numbers.
    After raw SQL inserts a higher number, SQLite gives the next events still higher numbers.
    """
    return type(value) is int and 0 < value <= MAX_NUMBER


def is_event(row: Mapping[str, Any]) -> bool:
    """Whether AuthSec could have written the row.

    The JSON columns must be parsed already. The instants may be parsed or texts.
    Readers would fail at an invalid row. Occurrences below 1 would reduce every sum.
    """
    return is_content(row["kind"], row["delegations"], row["roles"], row["detail"]) and has_columns(row)


def has_columns(row: Mapping[str, Any]) -> bool:
    """Whether AuthSec could have written the columns that are not JSON. The caller has checked the JSON columns."""
    return (
        type(row["occurrences"]) is int
        and 0 < row["occurrences"] <= MAX_OCCURRENCES
        and has_version(row["authority_version"], row["count_key"])
        and is_timed(row["kind"], row["at"], row["expires_at"], row["authority_version"])
        and _are_texts(row)
        and are_ids(row["kind"], row["jti"], row["request_id"])
        and _are_named(row)
        and row["kind"] in _KINDS
        and row["decision"] in _DECISIONS
        and (row["principal_kind"] is None or _is_principal(row))
        and (row["count_key"] is None or _is_counted(row))
    )


def is_jti(value: str) -> bool:
    """Whether the text has the form of the claim `jti` of a token: 32 hexadecimal digits in lower case."""
    return _JTI.fullmatch(value) is not None


def is_request_id(value: str) -> bool:
    """Whether the text has the form of a request id, which no `jti` has."""
    return _REQUEST_ID.fullmatch(value) is not None


def are_ids(kind: Any, jti: str, request_id: str) -> bool:
    """Whether an event of this kind can have this `jti` and this request id.

    The attack: raw SQL inserts events that have the id of another request as their `jti`. A search for the id would
    show these events.
    """
    is_of_token = jti == "" or (kind in _OF_TOKENS and is_jti(jti))
    return is_of_token and (request_id == "" or is_request_id(request_id))


def is_timed(kind: Any, at: Any, expires_at: Any, version: Any) -> bool:
    """Whether an event of this kind can have these times and this authority version.

    Each token has the authority version of its decision, and no token is valid for longer than the highest setting.
    The attack: raw SQL inserts tokens that expire last, so that a dry run reads no other.
    """
    if not (isinstance(at, str | datetime) and isinstance(expires_at, str | datetime | None)):
        return False
    if kind != EventKind.TOKEN_ISSUED:
        return True
    return version is not None and (expires_at is None or _is_short(at, expires_at))


def _is_short(at: str | datetime, expires_at: str | datetime) -> bool:
    try:
        lifetime: timedelta = _instant(expires_at) - _instant(at)
    except (ValueError, TypeError):  # no instant, or only one of both has a time zone
        return False
    return lifetime <= LONGEST_LIFETIME


def _instant(value: str | datetime) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def most_actions(named: int) -> int:
    """Return the highest number of actions of an event that names this number of delegations and roles."""
    return min(MAX_LISTED, MAX_USES // (1 + named))


def is_content(kind: Any, delegations: Any, roles: Any, detail: Any) -> bool:
    """Whether the JSON columns of an event of this kind have the right shapes."""
    if kind not in _KINDS or not _NAMED(delegations) or not _NAMED(roles) or not _is_detail(kind, detail):
        return False
    return len(detail.get("actions") or ()) <= most_actions(len(delegations) + len(roles))


def _is_detail(kind: str, detail: Any) -> bool:
    if not _DETAILS.get(kind, _OF_ANY)(detail) or not _DIGESTS(detail.get(DIGESTS, {})):
        return False
    if "before" not in detail or "after" not in detail:  # the record of a drop has only a month
        return True
    before, after = detail["before"], detail["after"]
    return type(before) is type(after) is dict and before.keys() == after.keys()


def _are_texts(row: Mapping[str, Any]) -> bool:
    """Whether each text column has a text that is short enough, can be encoded as UTF-8, and has no NUL.

    An id is printable ASCII, or empty.
    """
    try:
        if any(len(row[name]) > longest for name, longest in TEXTS.items()):
            return False
        if any(row[name] is not None and len(row[name]) > longest for name, longest in OPTIONAL_TEXTS.items()):
            return False
        texts = "".join([row[name] for name in TEXTS] + [row[name] for name in OPTIONAL_TEXTS if row[name] is not None])
        texts.encode()
        ids = "".join([row[name] for name in _IDS if row[name] is not None])
    except (TypeError, UnicodeEncodeError):
        return False
    return "\0" not in texts and ids.isascii() and ids.isprintable()  # PostgreSQL takes no NUL, in no parameter


def _is_counted(row: Mapping[str, Any]) -> bool:
    """Whether the row is a refusal that is counted by the minute. The sealer waits until that minute is long past.

    The attack: raw SQL gives an event with digests a `count_key`, and then a new time again and again.
    The sealer would wait each time and never seal the event. So an event with digests is not accepted.
    """
    at = row["at"]
    return (
        row["kind"] in COUNTED
        and row["decision"] == Decision.DENIED
        and DIGESTS not in row["detail"]
        and (at[17:19] == "00" if isinstance(at, str) else at.second == 0)
    )


def has_version(version: Any, count_key: Any) -> bool:
    """Whether the authority version is valid. A counted refusal has none, and each other event has one.

    The value must have an upper limit, because a restore raises the authority version above that of every event.
    Raw SQL can insert an event with any version.
    """
    return version is None if count_key is not None else type(version) is int and 0 <= version <= MAX_VERSION


def _are_named(row: Mapping[str, Any]) -> bool:
    """Whether the principal, the client and the subject each have both an id and a name, or neither.

    A principal also has a kind.
    """
    return (row["principal_id"] is None) == (row["principal_kind"] is None) and all(
        (row[f"{thing}_id"] is None) == (row[f"{thing}_name"] is None) for thing in _THINGS
    )


def _is_principal(row: Mapping[str, Any]) -> bool:
    return row["principal_kind"] in _PRINCIPALS and str(row["principal_role"]).upper() in Role.__members__
