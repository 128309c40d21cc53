"""A token, key or secret is set as the variable that should name its file, and a message quotes it as a path.

"There is no file eyJhbGciOi…" goes to the log, to the error tracker and to the model.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecClient, ConfigError, KeyFile, TokenFile
from authsec.credentials import SecretFile
from authsec.jose import PrivateKey
from workload_tokens import service_account_token

SECRETS: dict[str, Callable[[], str]] = {
    "a token": lambda: service_account_token("https://authsec.example.com"),
    "a short token": lambda: "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl",
    "a key": lambda: PrivateKey.generate_ed25519().to_pem().decode(),
    "a key in one line": lambda: PrivateKey.generate_ed25519().to_pem().decode().replace("\n", " "),
    "a client secret": lambda: "authsec_cs_canary",
    "anything long": lambda: "canary" * 50,
}


@pytest.mark.parametrize(
    "variable", ["AUTHSEC_WORKLOAD_TOKEN_FILE", "AUTHSEC_AGENT_KEY_FILE", "AUTHSEC_AGENT_SECRET_FILE"]
)
@pytest.mark.parametrize("secret", SECRETS)
def test_it_is_quoted_by_nothing_and_sent_nowhere(
    secret: str, variable: str, client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, SECRETS[secret]())
    with pytest.raises(ConfigError, match=f"{variable} must name the file") as caught:
        client.authority.find_proof()
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True, compact=False)
    value = SECRETS[secret]() if "key" not in secret else "PRIVATE KEY"
    assert not any(part in "".join(told.format()) for part in [*value.split(".")[1:], value])
    assert authority.seen == []


@pytest.mark.parametrize("source", [TokenFile, KeyFile, SecretFile])
def test_nor_where_a_program_gives_it(source: Any, make_client: Any) -> None:
    with pytest.raises(ConfigError, match="must name the file") as caught:
        make_client(credential=source(SECRETS["a short token"]())).get_token()
    assert "c2lnbmF0dXJl" not in str(caught.value)


@pytest.mark.parametrize("path", ["/run/eyJ.d/token", "a.b.c", "/very" * 200 + "/long", "agent-key.pem", "eyJx.pem"])
def test_a_path_is_one(path: str, make_client: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        make_client(credential=TokenFile(Path(path))).get_token()
    assert "must name the file" not in str(caught.value)
