"""A client secret turns up in a log, a repr, an exception, a traceback, a copy or a URL.

It is good for whoever has it until it is rotated, and nobody sees that it was read. Error trackers record the local
variables of every frame, so the frames are searched too.
"""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import traceback
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecClient, AuthSecError
from authsec.client_secret import text_of
from authsec.credentials import SecretFile
from fake_authority import Reply, broken_off, refused

SECRET = text_of(b"canary-canary-canary-canary-cana")


def told_by(client: AuthSecClient) -> str:
    """All that the failure tells, with the locals of every frame; caught here, where no local holds the secret."""
    with pytest.raises(AuthSecError) as caught:
        client.get_token()
    error = caught.value
    told = traceback.TracebackException.from_exception(error, capture_locals=True, compact=False)
    return "".join(told.format()) + repr(error.__dict__) + repr(error.__context__)


@pytest.fixture
def client(tmp_path: Path, make_client: Any) -> AuthSecClient:
    file = tmp_path / "agent-secret"
    file.write_text(SECRET)
    file.chmod(0o600)
    made: AuthSecClient = make_client(credential=SecretFile(file))
    return made


def canaries(client: AuthSecClient) -> tuple[str, str]:
    return SECRET[11:-6], b64encode(f"{client.config.client_id}:{SECRET}".encode()).decode()[60:]


def test_it_is_printed_nowhere(client: AuthSecClient, authority: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client.get_token()
    proof = client.authority.find_proof()
    ours = [thing for thing in gc.get_objects() if str(type(thing).__module__).startswith("authsec.")]
    told = caplog.text + "".join(map(repr, ours)) + repr(proof)
    told += "".join(f"{seen.path}{seen.query}" for seen in authority.seen)
    copies = pickle.dumps(client) + repr(copy.deepcopy(client).__dict__).encode()
    for canary in canaries(client):
        assert canary not in told
        assert canary.encode() not in copies


@pytest.mark.parametrize(
    "reply",
    [
        refused(401, "attestation_invalid"),
        broken_off(),
        lambda seen: Reply(401, {"error": "No.", "reason": "attestation_invalid", "details": str(seen.headers)}),
        lambda seen: Reply(307, headers={"Location": f"/{seen.headers['Authorization']}"}),
    ],
    ids=["refused", "aborted", "echoed", "redirected"],
)
def test_no_refusal_holds_it(
    reply: Any, client: AuthSecClient, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    authority.next_answers = [reply] * 3
    told = told_by(client) + caplog.text
    assert not any(canary in told for canary in canaries(client))


@pytest.mark.parametrize(("spoilt", "mode"), [("~", 0o600), ("\nx", 0o600), ("", 0o644)])
def test_no_complaint_about_the_file_holds_it(
    spoilt: str, mode: int, client: AuthSecClient, tmp_path: Path, authority: Any
) -> None:
    file = tmp_path / "agent-secret"
    file.write_text(SECRET + spoilt)
    file.chmod(mode)
    assert SECRET[11:-6] not in told_by(client)
    assert authority.seen == []
