"""A link lies where the shared file or one beside it would be made, and leads to a file that must not change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from authsec.verifier.revocations.shared_file import SharedFile, SharedFileReader, SharedFileUnusable, SharedFileWriter
from authsec.verifier.revocations.workers import Election

from ..fake_keys import ISSUER

PRECIOUS = b"precious\n"


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("name", ["revocations", "revocations.lock", "revocations.new"])
def test_what_a_link_leads_to_remains_as_it_is(tmp_path: Path, link: object, name: str) -> None:
    victim, place = tmp_path / "victim", SharedFile(path=tmp_path / "revocations", issuer=ISSUER)
    victim.write_bytes(PRECIOUS)
    victim.chmod(0o600)
    assert callable(link)
    link(victim, tmp_path / name)
    refused = 0
    election, recording, reading = Election(place), SharedFileWriter(place), SharedFileReader(place)
    for act in (election.won, lambda: recording.add(b"{}"), lambda: list(reading.lines())):
        try:
            act()
        except SharedFileUnusable:
            refused += 1
    for each in (election, recording, reading):
        each.forget()
    assert victim.read_bytes() == PRECIOUS
    assert refused == {"revocations": 2, "revocations.lock": link is os.symlink, "revocations.new": 0}[name]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    place = SharedFile(path=tmp_path / "revocations", issuer=ISSUER)
    os.mkfifo(place.path, 0o600)
    with pytest.raises(SharedFileUnusable, match="not a regular file"):
        list(SharedFileReader(place).lines())
