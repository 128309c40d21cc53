"""What `import authsec` gives, and what it does without the extras."""

from __future__ import annotations

import subprocess
import sys

import authsec
import pytest


def test_every_public_name_is_there() -> None:
    for name in authsec.__all__:
        assert getattr(authsec, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = authsec.Nothing


def test_agents_need_no_cryptography() -> None:
    """A base install has neither cryptography, joserfc nor uvicorn; an unattested agent works without them."""
    program = """
import sys
sys.modules["cryptography"] = sys.modules["joserfc"] = sys.modules["uvicorn"] = None
import authsec, authsec.cli
client = authsec.AuthSecClient(base_url="http://127.0.0.1:9", client_id="3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88")
try: client.get_delegation_token()
except authsec.TransportError: print("asked")
try: authsec.TokenVerifier
except ImportError: print("no verifier")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["asked", "no verifier", ""]


def test_an_import_brings_what_it_names_and_no_more() -> None:
    program = """
import sys
import authsec
print([name for name in ("asyncio", "urllib3", "authsec.client") if name in sys.modules])
from authsec import AuthSecClient
print("authsec.client" in sys.modules, "authsec.verifier" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[]", "True False", ""]


def test_a_command_of_another_package_waits_for_no_http_client() -> None:
    """`authsec serve` neither sends tokens to APIs nor asks for any."""
    program = """
import sys
import authsec.cli
print([name for name in ("urllib3", "authsec.client", "authsec.verifier") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_tokens_bound_to_a_key_need_the_extra() -> None:
    program = """
import sys
sys.modules["cryptography"] = sys.modules["joserfc"] = None
import authsec
try: authsec.AuthSecClient(base_url="http://127.0.0.1:9", client_id="3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88", dpop=True)
except authsec.ConfigError as error: print(error.reason)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "extra_missing\n"


def test_whoever_does_not_bind_tokens_imports_nothing_for_it() -> None:
    program = """
import sys
import authsec.asgi, authsec.wsgi
from authsec import AuthSecClient, TokenVerifier
AuthSecClient(base_url="http://127.0.0.1:9", client_id="3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88")
TokenVerifier("http://127.0.0.1:9", "crm").close()
mine = ("authsec.jose.dpop", "authsec.proof_key", "authsec.oauth_request", "authsec.verifier.key_binding")
print([name for name in mine if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
