"""An event that would be longer than readers read is shortened, and says so. It is sealed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit.event_shape import MAX_LISTED, is_content
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.shortening import LONGEST_DETAIL, shortened
from authsec_server.cli.audit import _story
from authsec_server.cli.confirm import _event
from authsec_server.console.formatting import shortened_note
from authsec_server.db.schema import LONGEST_JSON, canonical_json, read_canonical_json
from authsec_server.failures import Conflict
from hypothesis import example, given, settings
from hypothesis import strategies as st

from examples import examples

LONG = "\U0001f600"  # JSON escapes it as twelve characters
API = "/authsec/api/v1"
CLAIMS = [f"ci:claim{each:02}" for each in range(50)]
ACTIONS = [f"{'a' * 60}{each:03}:{'b' * 63}" for each in range(200)]

TEXT = st.builds(
    lambda char, number: char * number, st.sampled_from(["x", "é", LONG, '"']), st.sampled_from([0, 9, 30_000, 200_000])
)
MANY = st.builds(
    lambda text, number: [text] * number, st.text(max_size=120), st.sampled_from([0, 9, MAX_LISTED, 20_000])
)
FIELDS = st.builds(lambda texts: {f"{each:06}": text for each, text in enumerate(texts)}, MANY)
VALUE = TEXT | MANY | FIELDS | st.integers(0, 9) | st.none()
NAMES = st.sampled_from(["description", "labels", "proofs", "given_keys", "owner"])
EDIT = st.dictionaries(NAMES, st.tuples(VALUE, VALUE)).map(
    lambda its: {
        "revision": 2,
        "before": {name: both[0] for name, both in its.items()},
        "after": {name: both[1] for name, both in its.items()},
    }
)


def value_at(detail: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        detail = detail[name]
    return detail


@pytest.mark.soak
@settings(max_examples=examples(60))
@example({"proofs": [LONG * 200] * 1000, "description": LONG * 2000, "labels": {LONG: "x"}})
@example(
    {"revision": 2, "before": {"given_keys": {}}, "after": {"given_keys": {f"{n:04}": LONG * 300 for n in range(400)}}}
)
@given(st.dictionaries(NAMES, VALUE) | EDIT)
def test_a_long_detail_keeps_the_beginning_of_each_value_and_names_the_whole(detail: dict[str, Any]) -> None:
    result = shortened(detail)
    assert is_content(EventKind.CLIENT_EDITED if "after" in detail else EventKind.CLIENT_CREATED, [], [], result)
    assert read_canonical_json(canonical_json(result)) == json.loads(canonical_json(result))
    cut = result.pop("shortened", {})
    for path, whole in cut.items():
        value, begins = value_at(detail, path), value_at(result, path)
        assert whole == {"length": len(value), "sha256": sha256(canonical_json(value).encode()).hexdigest()}
        assert len(begins) < len(value)
        assert begins == (dict([*value.items()][: len(begins)]) if isinstance(value, dict) else value[: len(begins)])
        outer, _, name = path.rpartition(".")
        (result[outer] if outer else result)[name] = value
    assert result == detail
    assert bool(cut) == (len(canonical_json(detail)) > LONGEST_DETAIL or any(map(has_many, members(detail))))


def members(detail: dict[str, Any]) -> list[Any]:
    if "after" not in detail:
        return [*detail.values()]
    return [*detail["before"].values(), *detail["after"].values()]


def has_many(value: Any) -> bool:
    return isinstance(value, list | dict) and len(value) > MAX_LISTED


def test_an_event_that_cannot_be_shortened_is_not_recorded() -> None:
    with pytest.raises(Conflict):
        shortened({"record": "x" * LONGEST_JSON})


def test_a_person_reads_what_was_shortened() -> None:
    detail = shortened({"proofs": [LONG] * 100_000, "before": {"given_keys": {}}, "after": {"given_keys": {}}})
    assert shortened_note(detail) == "This event was too long. It has only the beginning of: proofs (100,000)"
    assert shortened_note({}) == ""


@pytest.mark.soak
def test_every_change_of_the_largest_things_leaves_events_that_readers_show(house: Callable[..., Any]) -> None:
    its = house(local_operator=True)
    door = its.door()

    def send(method: str, path: str, body: Any = None, **query: Any) -> Any:
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {"content-type": "application/json"}
        answer = door.request(method, f"{API}{path}", content=content, headers=headers, params=query)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    send("POST", "/configuration", {"configuration": configuration(0)})
    send("POST", "/configuration", {"configuration": configuration(1)})
    name = LONG * 120
    key = send("POST", "/admin-keys", {"name": name, "role": "viewer"})
    send("POST", f"/admin-keys/{key['id']}/revoke")
    credential = send("POST", "/apis/api/credentials", {"name": name})
    send("POST", f"/apis/api/credentials/{credential['id']}/revoke")
    send("POST", "/issuers/ci/disable")
    send("POST", "/clients/agent/disable")
    removed = {"configuration": {each: {} for each in configuration(0)}, "prune": True}
    rehearsed = send("POST", "/configuration", removed, dry_run=1)["would_change"]
    assert [each["kind"] for each in rehearsed if "shortened" in each["detail"]] == ["client.deleted", "issuer.deleted"]
    send("POST", "/configuration", removed)
    found = send("GET", "/events", limit=200)["items"]
    cut = {(each["kind"], path) for each in found for path in each["detail"].get("shortened", {})}
    assert not [each for each in found if each["kind"] == EventKind.EVENT_UNREADABLE]
    assert cut == {
        ("issuer.created", "given_keys"),
        ("issuer.edited", "before.given_keys"),
        ("issuer.edited", "after.given_keys"),
        ("issuer.deleted", "given_keys"),
        ("client.deleted", "proofs"),
    }
    deleted = next(each for each in found if each["kind"] == EventKind.CLIENT_DELETED)
    said = "It has only the beginning of: proofs (16)"
    assert said in door.get(f"/console/activity/{deleted['id']}").text
    assert said in str(_story({"event": deleted, "remedy": None, "revoked_at": None}))
    assert said in "\n".join(str(line) for each in rehearsed for line in _event(each))
    assert findings(its) == ()


def configuration(turn: int) -> dict[str, Any]:
    """One of everything, as large as it may be. Each turn has other values."""
    name, text, key = f"{turn}{LONG * 119}", f"{turn}{LONG * 1999}", PrivateKey.generate_ec().public.to_jwk()
    keys = [key | {"kid": f"{turn}{each:03}{LONG * 508}", "use": "sig"} for each in range(200)]
    proofs = [
        {
            "platform": "oidc",
            "trusted_issuer": "ci",
            "selectors": dict.fromkeys(CLAIMS[:32], f"{turn}{number:02}{LONG * 252}"),
        }
        for number in range(16)
    ]
    labels = {f"{each:02}{'l' * 61}": name for each in range(32)}
    audiences = [f"https://{each:02}.example.com/{'x' * 231}" for each in range(16)]
    issuer = {
        "name": name,
        "kind": "oidc",
        "issuer": "https://ci.example.com",
        "keys_from": "given",
        "given_keys": {"keys": keys},
        "claims": {each: f"{turn}{each}" + "x" * 100 for each in CLAIMS},
    }
    described = {"owner": name, "description": text}
    return {
        "issuers": {"ci": issuer},
        "apis": {
            "api": {
                "name": name,
                "identifier": "https://api.example.com",
                "description": text,
                "actions": dict.fromkeys(ACTIONS, name),
            }
        },
        "roles": {"role": {"name": name, "description": text, "actions": ACTIONS[turn:]}},
        "agents": {"agent": {"name": name, "labels": labels, "proofs": proofs, **described}},
        "delegations": {
            "delegation": {
                "agent": "agent",
                "role": "role",
                "actions": ACTIONS[1 + turn :],
                "audiences": audiences,
                **described,
            }
        },
    }


def findings(its: Any) -> tuple[str, ...]:
    database, keys = its.authority.database, its.authority.sealing_keyring
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=its.clock.now)
    while sealer.seal():
        pass
    later = its.clock.now() + timedelta(minutes=1)
    report = database.check(lambda tx: verify(tx, keys.by_kid(), now=later))
    return tuple(report.findings)
