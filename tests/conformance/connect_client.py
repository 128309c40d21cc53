"""A client under test: the code of the Connect tab with the values of the scenario. Arguments: the SDK, the server.

The suite starts this program, and gives the credential in `MCP_CONFORMANCE_CONTEXT`. The issuer is in the server's
metadata (RFC 9728): each run has another one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
from authsec_server.console.clients.oauth_clients import OAuthClient


def main() -> int:
    """Run the code; its exit status."""
    sdk, server = sys.argv[1:]
    context = json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])
    parts = urlsplit(server)
    metadata = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}"
    with tempfile.TemporaryDirectory() as name:
        key, secret = Path(name, "key"), Path(name, "secret")
        key.write_text(context.get("private_key_pem", ""))
        secret.write_text(context.get("client_secret", ""))
        code = OAuthClient(
            issuer=httpx2.get(metadata, trust_env=False).json()["authorization_servers"][0],
            client_id=context["client_id"],
            key_file=str(key),
            secret_file=str(secret),
            algorithm=context.get("signing_algorithm", ""),
            has_secret="client_secret" in context,
            servers=(server,),
        )
        if sdk == "python":
            command = [sys.executable, "-c", code.python_mcp]
        else:
            # The connection of the last line stays open, so the program says when it has ended.
            command = ["node", "--input-type=module", "--eval", f"{code.typescript_mcp}\nprocess.exit();"]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
