"""An administrator pastes the private key where the public one belongs. It must be kept nowhere: not in the database,
not in the audit log, not in a log, not in the answer, and the person must learn that the key is burnt.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from authsec.jose import PrivateKey
from starlette.testclient import TestClient

CLIENTS = "/authsec/api/v1/clients"


def test_nothing_of_it_is_kept(admin: TestClient, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number, key in enumerate((PrivateKey.generate_ed25519(), PrivateKey.generate_ec(), PrivateKey.generate_rsa())):
        private = key.to_pem().decode()
        secret = private.splitlines()[1]
        pasted = (private, key.public.to_pem().decode() + private, private.replace("\n", "\r\n"), f"  {private}")
        for pem in pasted:
            answer = admin.post(CLIENTS, json={"name": f"Agent {number}", "platform": "key", "public_key": pem})
            assert (answer.status_code, answer.json()["field"]) == (400, "public_key")
            assert "Treat the key as exposed" in answer.json()["error"]
            assert secret not in answer.text
        assert secret not in "".join(capfd.readouterr())
        for file in tmp_path.iterdir():
            assert secret.encode() not in file.read_bytes(), file
